package io.switchback.fleet;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.resp.CommandEncoder;
import io.switchback.resp.KeySlot;
import io.switchback.resp.Reply;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Commands that make a server a primary or a replica, guarded so that one which arrives late does nothing.
 *
 * <p>A coordinator that stalls between its decision and its command would, waking up after a rollback, make a second primary.
 * So each controller and each switch first writes its {@link Token} to the primary, from where it reaches the replica with the
 * stream; the command is then one transaction that watches the token. A takeover writes its own token first, and from then on
 * whatever the one before it still sends is refused by the server itself.
 *
 * <p>The transaction reads ROLE before the change, so the offset at which a role changed is exact. INFO is not read within it:
 * Redis 6.0 would then write SELECT, MULTI and EXEC into its own stream.
 */
public final class RoleCommands {
    /** Where a cluster keeps the token. */
    public static final int TOKEN_SLOT = KeySlot.of(ReservedKeys.TOKEN.getBytes(UTF_8));

    private static final int ATTEMPTS_MAX = 10;

    private RoleCommands() {}

    /** What becomes of the server's connections to clients, other than the one that changes its role. */
    public enum OtherClients {
        KEPT,
        /**
         * Killed in the same transaction, so none of them meets the new role: what they had sent has run before it, or never runs
         * (<a href="https://redis.io/docs/latest/commands/client-kill/">CLIENT KILL</a>). Connections of replicas stay.
         */
        KILLED;

        /** What has to be sent for it; nothing where they are kept. */
        public List<byte[][]> commands() {
            return switch (this) {
                case KEPT -> List.of();
                case KILLED ->
                    List.of(
                            CommandEncoder.bytes("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"),
                            // In RESP3 these send commands as well.
                            CommandEncoder.bytes("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes"));
            };
        }
    }

    /** What became of a token that was offered to a server. */
    public enum Offer {
        /** The server has it now. */
        TAKEN,
        /** The server is a replica, and takes writes from its primary alone. */
        READ_ONLY
    }

    /**
     * Offers a token to a server, which takes it unless it has a newer one.
     *
     * @throws FleetException REFUSED where it has: somebody else has taken over
     */
    public static Offer offerToken(ServerConnection server, Token token) {
        for (int attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
            server.demand("SELECT", "0");
            server.demand("WATCH", ReservedKeys.TOKEN);
            Optional<Token> present =
                    Token.parse(server.demand("GET", ReservedKeys.TOKEN).text());
            if (present.filter(one -> one.equals(token)).isPresent()) {
                server.demand("UNWATCH");
                return Offer.TAKEN;
            }
            if (present.filter(token::isOlderThan).isPresent()) {
                server.demand("UNWATCH");
                throw new FleetException(
                        FleetException.Code.REFUSED,
                        newer(server, present.orElseThrow().toString(), token));
            }
            List<Reply> replies = server.pipeline(List.of(
                    CommandEncoder.bytes("MULTI"),
                    CommandEncoder.bytes("SET", ReservedKeys.TOKEN, token.text()),
                    CommandEncoder.bytes("EXEC")));
            Reply ended = replies.getLast();
            if (ended instanceof Reply.Array) {
                return Offer.TAKEN;
            }
            if (ended instanceof Reply.Failure failure) {
                if (replies.get(1) instanceof Reply.Failure(String message) && message.startsWith("READONLY")) {
                    return Offer.READ_ONLY;
                }
                throw new FleetException(
                        FleetException.Code.REFUSED,
                        server.endpoint() + " refused a token: "
                                + replies.get(1).text() + "; " + failure.text());
            }
        }
        throw new FleetException(
                FleetException.Code.REFUSED,
                server.endpoint() + " has a token that moved " + ATTEMPTS_MAX + " times while one was offered to it");
    }

    /** Writes the token of a switch, or of a controller's term, to a server that must be a primary. */
    public static void writeToken(ServerConnection primary, Token token) {
        if (offerToken(primary, token) == Offer.READ_ONLY) {
            throw new FleetException(
                    FleetException.Code.REFUSED,
                    primary.endpoint() + " is a replica and takes no token; somebody has changed its role");
        }
    }

    /** The token as this server has it now. */
    public static Optional<Token> token(ServerConnection server) {
        server.demand("SELECT", "0");
        return Token.parse(server.demand("GET", ReservedKeys.TOKEN).text());
    }

    /**
     * Makes the server a replica of {@code newPrimary}: from then on it refuses writes, and its offset is final. Refused where the
     * server has a newer token than this one; an older one is what a replica may have that was cut off for a while.
     */
    public static RoleChange follow(ServerConnection server, Endpoint newPrimary, Token token) {
        return follow(server, newPrimary, token, OtherClients.KEPT);
    }

    /** As {@link #follow(ServerConnection, Endpoint, Token)}; refused as well where this user may not kill connections and should. */
    public static RoleChange follow(ServerConnection server, Endpoint newPrimary, Token token, OtherClients others) {
        return change(server, token, newPrimary.host(), Integer.toString(newPrimary.port()), others);
    }

    /** Makes the server a primary: it takes writes, under a new replication id, with its offset kept. Refused as {@link #follow}. */
    public static RoleChange promote(ServerConnection server, Token token) {
        return change(server, token, "NO", "ONE", OtherClients.KEPT);
    }

    /**
     * Watches the token ahead of a change of role that must then be quick.
     *
     * @throws FleetException REFUSED where the server does not show exactly this token
     */
    public static TokenWatch watch(ServerConnection server, Token token) {
        Optional<String> refusal = guard(server, token);
        if (refusal.isEmpty() && !token(server).equals(Optional.of(token))) {
            server.call("UNWATCH");
            refusal = Optional.of("the token " + token + " has not reached " + server.endpoint());
        }
        if (refusal.isPresent()) {
            throw new FleetException(FleetException.Code.REFUSED, refusal.get());
        }
        return new TokenWatch(server);
    }

    private static RoleChange change(
            ServerConnection server, Token token, String host, String port, OtherClients others) {
        Optional<String> refusal = guard(server, token);
        return refusal.isPresent() ? new RoleChange.Refused(refusal.get()) : transaction(server, host, port, others);
    }

    /** Watches the token; why this is not the one that may act, or empty and the watch stands. */
    private static Optional<String> guard(ServerConnection server, Token token) {
        List<Reply> replies = server.pipeline(List.of(
                CommandEncoder.bytes("SELECT", "0"),
                CommandEncoder.bytes("WATCH", ReservedKeys.TOKEN),
                CommandEncoder.bytes("GET", ReservedKeys.TOKEN)));
        Optional<Reply> refused = replies.stream().filter(Reply::isError).findFirst();
        if (refused.isPresent()) {
            server.call("UNWATCH");
            return Optional.of(server.endpoint() + " did not show its token: "
                    + refused.get().text());
        }
        Optional<Token> present = Token.parse(replies.get(2).text());
        if (present.filter(token::isOlderThan).isEmpty()) {
            return Optional.empty();
        }
        server.call("UNWATCH");
        return Optional.of(newer(server, present.orElseThrow().toString(), token));
    }

    private static String newer(ServerConnection server, String present, Token token) {
        return server.endpoint() + " has the token " + present + ", newer than " + token
                + ": somebody else has taken over";
    }

    /** The change itself, after the watch; in one write, so that the server reads and runs all of it in one turn. */
    static RoleChange transaction(ServerConnection server, String host, String port, OtherClients others) {
        List<byte[][]> changes = new ArrayList<>();
        changes.add(CommandEncoder.bytes("ROLE"));
        changes.add(CommandEncoder.bytes("REPLICAOF", host, port));
        changes.addAll(others.commands());
        List<byte[][]> commands = new ArrayList<>();
        commands.add(CommandEncoder.bytes("MULTI"));
        commands.addAll(changes);
        commands.add(CommandEncoder.bytes("EXEC"));
        commands.add(CommandEncoder.bytes("INFO", "replication"));
        return outcome(server, host + " " + port, changes.size(), server.pipeline(commands));
    }

    private static RoleChange outcome(ServerConnection server, String wanted, int changes, List<Reply> replies) {
        return switch (replies.get(changes + 1)) {
            case Reply.Array(List<Reply> results)
            when results.size() == changes -> {
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
                        + "; nothing was changed; may this user run MULTI, ROLE, REPLICAOF and CLIENT KILL?");
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
