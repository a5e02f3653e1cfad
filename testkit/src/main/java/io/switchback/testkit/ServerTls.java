package io.switchback.testkit;

import java.util.ArrayList;
import java.util.List;

/**
 * How a real server speaks TLS.
 *
 * @param authority of the test: signs the server's certificate, and whom the server trusts
 * @param identity what the server shows, to clients and to its primary
 * @param demandsCertificates tls-auth-clients
 * @param follows tls-replication
 */
public record ServerTls(
        TestCertificates authority, TestCertificates.Pair identity, boolean demandsCertificates, boolean follows) {
    List<String> arguments(int port) {
        return new ArrayList<>(List.of(
                "--port", "0",
                "--tls-port", Integer.toString(port),
                "--tls-cert-file", identity.certificate().toString(),
                "--tls-key-file", identity.key().toString(),
                "--tls-ca-cert-file", authority.authority().toString(),
                "--tls-auth-clients", demandsCertificates ? "yes" : "no",
                "--tls-replication", follows ? "yes" : "no"));
    }
}
