package io.switchback.proxy;

import io.switchback.fleet.Credential;
import io.switchback.fleet.Endpoint;
import io.switchback.resp.Protocol;
import org.jspecify.annotations.Nullable;

/**
 * What makes connections to a server alike: commands of clients with equal keys may share one.
 *
 * @param server where it goes; null for the primary of the fleet, whichever that is
 * @param identity the user that it is authenticated as; null where the client gave none
 * @param database the selected database
 * @param protocol in which its replies come
 * @param tracks its server says over it what has changed of what was read over it ({@link Memory}); for reads to be kept, of anybody with this key
 * @param reads its server is a replica, and nothing but what one may answer goes over it ({@link Replicas})
 * @param proving for nothing but AUTH: it may be anybody, so nothing else may run on it
 */
record ConnectionKey(
        @Nullable Endpoint server,
        @Nullable Credential identity,
        int database,
        Protocol protocol,
        boolean tracks,
        boolean reads,
        boolean proving) {
    static final ConnectionKey PROVING = new ConnectionKey(null, null, 0, Protocol.RESP2, false, false, true);

    static ConnectionKey of(@Nullable Credential identity, int database, Protocol protocol) {
        return new ConnectionKey(null, identity, database, protocol, false, false, false);
    }

    static ConnectionKey tracking(@Nullable Credential identity, int database) {
        return new ConnectionKey(null, identity, database, Protocol.RESP3, true, false, false);
    }

    /** The same at another server; null for the one that its fleet names. */
    ConnectionKey at(@Nullable Endpoint other) {
        return new ConnectionKey(other, identity, database, protocol, tracks, false, proving);
    }

    /** To a replica, to read from it. */
    ConnectionKey atReplica(Endpoint replica) {
        return new ConnectionKey(replica, identity, database, protocol, false, true, false);
    }
}
