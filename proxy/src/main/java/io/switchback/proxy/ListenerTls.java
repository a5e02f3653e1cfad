package io.switchback.proxy;

import io.switchback.fleet.Endpoint;
import io.switchback.tls.TlsFiles;
import java.util.List;

/**
 * That clients of a cache may speak TLS.
 *
 * @param files the certificate that clients are shown and its key; with authorities, each client must show one that these have signed
 * @param listen where clients connect over TLS; where empty, that is all addresses of the cache
 */
public record ListenerTls(TlsFiles files, List<Endpoint> listen) {
    public ListenerTls {
        listen = List.copyOf(listen);
        if (files.identity().isEmpty()) {
            throw new IllegalArgumentException("whoever is connected to has a certificate");
        }
    }

    /** Whether a client must show a certificate. */
    public boolean demandsCertificates() {
        return files.authorities().isPresent();
    }
}
