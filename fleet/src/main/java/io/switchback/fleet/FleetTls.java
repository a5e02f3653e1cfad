package io.switchback.fleet;

import io.switchback.tls.TlsContexts;
import io.switchback.tls.TlsException;
import io.switchback.tls.TlsFiles;
import java.io.IOException;
import java.net.Socket;
import java.util.Optional;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLSocket;

/**
 * That a fleet's servers are spoken to over TLS, and how. The certificate of a server must be signed by one of the authorities, and be for the name
 * by which it is connected to.
 *
 * @param files the authorities, and, where servers demand it, the certificate and key of this node; never what they hold
 * @param name for all of the fleet's servers, in place of the host of their addresses; SNI says it too
 */
public record FleetTls(TlsFiles files, Optional<String> name) {
    /**
     * For one connection to a server.
     *
     * @throws TlsException where the files cannot be used; the disk is waited for where they were never read
     */
    public SSLEngine engine(Endpoint server) {
        return TlsContexts.of(files).connecting(hostOf(server), server.port());
    }

    /** As {@link #engine}, over a socket that is connected; the handshake is still to be made. */
    public SSLSocket over(Socket socket, Endpoint server) throws IOException {
        return TlsContexts.of(files).connecting(socket, hostOf(server), server.port());
    }

    /** The name that the certificate of a server must be for. */
    public String hostOf(Endpoint server) {
        return name.orElse(server.host());
    }

    /** A handshake has failed: maybe the files were good, and are better by now. */
    public void look() {
        try {
            TlsContexts.of(files).look();
        } catch (TlsException e) {
            // Whoever connects next hears of it.
        }
    }
}
