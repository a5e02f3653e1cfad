package io.switchback.fleet;

import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import java.util.List;
import java.util.Optional;

/**
 * Commands that make a server a primary or a replica, guarded so that one which arrives late does nothing.
 *
 * <p>A coordinator that stalls between its decision and its command would, waking up after a rollback, make a second primary.
 * So each switch first writes a token (its epoch and attempt) to the primary, from where it reaches the replica with the
 * stream; the command is then one transaction that watches the token. A takeover writes its own token first, and from then on
 * whatever the one before it still sends is refused by the server itself.
 *
 * <p>The transaction reads ROLE before the change, so the offset at which a role changed is exact. INFO is not read within it:
 * Redis 6.0 would then write SELECT, MULTI and EXEC into its own stream.
 */
public final class RoleCommands {
    private RoleCommands() {}

    /** Writes the token of a switch to the primary. */
    public static void writeToken(ServerConnection primary, String token) {
        primary.demand("SELECT", "0");
        primary.demand("SET", ReservedKeys.TOKEN, token);
    }

    /** As {@link #writeToken}; false, and nothing is written, where the server is a replica and says so. */
    public static boolean offerToken(ServerConnection server, String token) {
        server.demand("SELECT", "0");
        Reply reply = server.call("SET", ReservedKeys.TOKEN, token);
        if (reply instanceof Reply.Failure(String message) && !message.startsWith("READONLY")) {
            throw new FleetException(
                    FleetException.Code.REFUSED, server.endpoint() + " refused the token of a switch: " + message);
        }
        return !reply.isError();
    }

    /** The token as this server has it now. */
    public static Optional<String> token(ServerConnection server) {
        server.demand("SELECT", "0");
        return server.demand("GET", ReservedKeys.TOKEN) instanceof Reply.Bulk value
                ? Optional.of(value.text())
                : Optional.empty();
    }

    /** Makes the server a replica of {@code newPrimary}: from then on it refuses writes, and its offset is final. */
    public static RoleChange follow(ServerConnection server, Endpoint newPrimary, String token) {
        return change(server, token, newPrimary.host(), Integer.toString(newPrimary.port()));
    }

    /** Makes the server a primary: it takes writes, under a new replication id, with its offset kept. */
    public static RoleChange promote(ServerConnection server, String token) {
        return change(server, token, "NO", "ONE");
    }

    /**
     * Watches the token ahead of a change of role that must then be quick.
     *
     * @throws FleetException REFUSED where the server does not show this token
     */
    public static TokenWatch watch(ServerConnection server, String token) {
        Optional<String> refusal = guard(server, token);
        if (refusal.isPresent()) {
            throw new FleetException(FleetException.Code.REFUSED, refusal.get());
        }
        return new TokenWatch(server);
    }

    private static RoleChange change(ServerConnection server, String token, String host, String port) {
        Optional<String> refusal = guard(server, token);
        return refusal.isPresent() ? new RoleChange.Refused(refusal.get()) : transaction(server, host, port);
    }

    /** Watches the token; why this is not the switch that may act, or empty and the watch stands. */
    private static Optional<String> guard(ServerConnection server, String token) {
        List<Reply> replies = server.pipeline(List.of(
                CommandEncoder.bytes("SELECT", "0"),
                CommandEncoder.bytes("WATCH", ReservedKeys.TOKEN),
                CommandEncoder.bytes("GET", ReservedKeys.TOKEN)));
        Optional<Reply> refused = replies.stream().filter(Reply::isError).findFirst();
        if (refused.isEmpty() && replies.get(2).text().equals(token)) {
            return Optional.empty();
        }
        server.call("UNWATCH");
        return Optional.of(
                refused.isPresent()
                        ? server.endpoint() + " did not show its token: "
                                + refused.get().text()
                        : server.endpoint() + " has the token \""
                                + replies.get(2).text() + "\", this switch has \"" + token
                                + "\": somebody else has taken over, or the token has not reached this server");
    }

    /** The change itself, after the watch; in one write, so that the server reads and runs all of it in one turn. */
    static RoleChange transaction(ServerConnection server, String host, String port) {
        List<Reply> replies = server.pipeline(List.of(
                CommandEncoder.bytes("MULTI"),
                CommandEncoder.bytes("ROLE"),
                CommandEncoder.bytes("REPLICAOF", host, port),
                CommandEncoder.bytes("EXEC"),
                CommandEncoder.bytes("INFO", "replication")));
        return outcome(server, host + " " + port, replies);
    }

    private static RoleChange outcome(ServerConnection server, String wanted, List<Reply> replies) {
        return switch (replies.get(3)) {
            case Reply.Array(List<Reply> results)
            when results.size() == 2 -> {
                if (results.get(1).isError()) {
                    throw refused(server, wanted, results.get(1).text());
                }
                yield changed(server, ((Reply.Array) results.getFirst()).elements(), replies.getLast());
            }
            case Reply.Nil() ->
                new RoleChange.Refused("the token on " + server.endpoint() + " moved while REPLICAOF " + wanted
                        + " was on its way: somebody else has taken over");
            // EXECABORT says only that something was refused before; that something says why.
            case Reply.Failure failure -> {
                String why = replies.stream()
                        .filter(Reply::isError)
                        .findFirst()
                        .orElse(failure)
                        .text();
                throw refused(server, wanted, why);
            }
            case Reply other -> throw refused(server, wanted, "EXEC was answered by " + other);
        };
    }

    private static FleetException refused(ServerConnection server, String wanted, String why) {
        return new FleetException(
                FleetException.Code.REFUSED,
                server.endpoint() + " refused REPLICAOF " + wanted + ": " + why
                        + "; nothing was changed; may this user run MULTI, ROLE and REPLICAOF?");
    }

    private static RoleChange changed(ServerConnection server, List<Reply> role, Reply info) {
        ReplicationState after =
                ReplicationState.of(InfoReport.parse(server.endpoint().toString(), info));
        // ["master", offset, replicas] or ["slave", host, port, state, offset], where a link that is down says -1.
        if (role.getFirst().text().equals("master")) {
            return new RoleChange.Changed(((Reply.Int) role.get(1)).value(), ReplicationState.Role.PRIMARY, after);
        }
        long applied = ((Reply.Int) role.get(4)).value();
        boolean promoted = after.role() == ReplicationState.Role.PRIMARY;
        // A promotion keeps the offset, and the server itself remembers up to where its history is the old one.
        long offset = applied >= 0 ? applied : promoted ? after.secondOffset() - 1 : after.offset();
        return new RoleChange.Changed(offset, ReplicationState.Role.REPLICA, after);
    }
}
