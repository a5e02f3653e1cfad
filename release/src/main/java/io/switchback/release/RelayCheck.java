package io.switchback.release;

import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ReplicationState;
import io.switchback.fleet.ReplicationState.Role;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerInfo;
import io.switchback.fleet.ServerSettings;
import io.switchback.fleet.ServerVersion;
import io.switchback.release.FleetCheck.Findings;
import io.switchback.resp.Reply;
import io.switchback.sync.rdb.ValueTarget;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** What a relay asks of the two servers, beyond what any link does. Changes nothing. */
final class RelayCheck {
    private final Findings findings;

    RelayCheck(Findings findings) {
        this.findings = findings;
    }

    /** Why two single servers cannot be joined by relays; empty where they can. */
    static Optional<String> whyNot(
            ServerConnection old, ServerInfo oldInfo, ServerConnection fresh, ServerInfo newInfo) {
        if (!loads(newInfo.version(), oldInfo.version())) {
            return Optional.of(fresh.endpoint() + " (" + newInfo.version() + ") cannot load a snapshot of "
                    + old.endpoint() + " (" + oldInfo.version() + ")");
        }
        return refusesRoles(old).or(() -> refusesRoles(fresh));
    }

    /** Whether a server of version {@code reader} loads what {@code writer} dumps: their RDB versions, seen on real servers. */
    static boolean loads(ServerVersion reader, ServerVersion writer) {
        if (reader.product() == writer.product()) {
            return compare(reader, writer) >= 0;
        }
        return writer.product() == ServerVersion.Product.REDIS
                && (writer.major() < 7 || (writer.major() == 7 && writer.minor() <= 2));
    }

    private static int compare(ServerVersion one, ServerVersion other) {
        return one.major() != other.major()
                ? Integer.compare(one.major(), other.major())
                : Integer.compare(one.minor(), other.minor());
    }

    /** REPLICAOF NO ONE does nothing to a server that is a primary, but it is refused where the right is missing. */
    private static Optional<String> refusesRoles(ServerConnection server) {
        return ReplicationState.read(server).role() == Role.PRIMARY
                        && server.call("REPLICAOF", "NO", "ONE") instanceof Reply.Failure(String message)
                ? Optional.of(server.endpoint() + " does not let this user change its role (" + message + ")")
                : Optional.empty();
    }

    /** Looks at one of the two. */
    void look(ServerConnection server, ServerInfo info, FleetSpec fleet) {
        settings(server, info);
        followsOver(server, fleet);
    }

    /** A snapshot that the new server would not survive: its own replication sends it the same. */
    void lookAtElements(FleetCheck.Primary old, FleetCheck.Primary fresh) {
        if (new ValueTarget(fresh.info().version())
                .readsListpacksOtherwise(old.info().version())) {
            findings.warn(fresh.endpoint() + " (" + fresh.info().version() + ") ends its process when a snapshot of "
                    + old.info().version()
                    + " holds a list or a stream with an element of exactly " + ValueTarget.ELEMENT_READ_OTHERWISE_BYTES
                    + " bytes; if there may be one, say link: apply in the move, which writes each value anew");
        }
    }

    private void settings(ServerConnection server, ServerInfo info) {
        if (!ServerSettings.read(server, "replica-read-only")
                .toLowerCase(Locale.ROOT)
                .equals("yes")) {
            findings.problem(server.endpoint()
                    + " has replica-read-only no: as a follower it would take writes of its own;" + " set it to yes");
        }
        Reply panics = server.demand("CONFIG", "GET", "propagation-error-behavior");
        if (panics instanceof Reply.Array(List<Reply> pair)
                && pair.size() == 2
                && !pair.get(1).text().equals("ignore")) {
            findings.problem(server.endpoint() + " has propagation-error-behavior "
                    + pair.get(1).text()
                    + ": one command that it does not take would end its process; set it to ignore");
        }
        if (info.appendOnly()) {
            findings.warn(
                    server.endpoint() + " has appendonly yes: should it restart as a follower it asks for a full copy,"
                            + " and the way back closes until a copy has filled it again; switch it off while the release is open, if you can");
        }
        if (info.configFile().isEmpty()) {
            findings.warn(
                    server.endpoint() + " was started without a config file: should it restart as a follower it comes"
                            + " up as a primary, and the way back closes until a copy has filled it again; where no node sees the"
                            + " restart, a person has to say so");
        }
    }

    /** How the server would follow: forward the new one does, on the way back the old one. */
    private void followsOver(ServerConnection server, FleetSpec fleet) {
        // Empty from a server that was built without TLS.
        boolean overTls = server.demand("CONFIG", "GET", "tls-replication") instanceof Reply.Array(List<Reply> pair)
                && pair.size() == 2
                && pair.get(1).text().equals("yes");
        boolean hasCertificate =
                fleet.tls().filter(tls -> tls.files().identity().isPresent()).isPresent();
        if (overTls && !hasCertificate) {
            findings.problem(server.endpoint()
                    + " has tls-replication yes: it follows only who shows it a certificate, and this"
                    + " node has none for it; give fleet " + fleet.name() + " tls: { cert: file:PATH, key: file:PATH },"
                    + " signed by its tls-ca-cert-file, or set tls-replication to no");
        }
        if (!overTls && fleet.tls().isPresent()) {
            findings.warn(
                    server.endpoint() + " has tls-replication no: what it follows comes to it in the clear; set it to"
                            + " yes, if that network is not trusted");
        }
        if (server.endpoint().isUnix()) {
            findings.warn(
                    server.endpoint() + " is told to follow an address of the loopback interface, since it is reached"
                            + " by a Unix socket: it must share this node's network, which a container does not by itself");
        }
    }
}
