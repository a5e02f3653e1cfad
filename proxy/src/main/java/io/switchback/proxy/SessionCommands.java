package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.fleet.ReservedKeys;
import io.switchback.resp.CommandRule;
import io.switchback.resp.CommandTable;
import io.switchback.resp.Protocol;
import io.switchback.resp.RequestScanner;
import java.util.Arrays;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** Decides what becomes of a command that is not simply passed on. Without state; the rules are those of {@link CommandTable}. */
final class SessionCommands {
    /** What commands that name reserved keys are found by. */
    static final RequestScanner.Mark RESERVED = new RequestScanner.Mark(ReservedKeys.PREFIX);

    static final String RESERVED_REFUSAL =
            "ERR switchback: names that begin with " + ReservedKeys.PREFIX + " are Switchback's own";

    static final String MONITOR_REFUSAL =
            "ERR switchback: MONITOR is for a client that has no subscription, no WATCH, no tracking and no mode of its connection";

    private static final byte[] PREFIX = ReservedKeys.PREFIX.getBytes(UTF_8);

    private SessionCommands() {}

    /** What becomes of a command. */
    sealed interface Verdict permits Send, Refuse, Perform, Close {}

    /** It is passed on as it is; {@code script} is told what is answered. */
    record Send(@Nullable ScriptCommand script) implements Verdict {}

    /** The client is told why not; {@code toAnybody} where the servers say so before they ask who it is. */
    record Refuse(String why, boolean toAnybody) implements Verdict {
        Refuse(String why) {
            this(why, false);
        }

        /** The command is none of the servers', or not as they read it. */
        static Refuse misformed(String why) {
            return new Refuse(why, true);
        }
    }

    /** The session sees to it. */
    record Perform(Operation operation) implements Verdict {}

    /** The client is no client. */
    record Close() implements Verdict {}

    private static final Verdict SEND = new Send(null);

    static Verdict judge(
            ClientSession session,
            byte[][] command,
            @Nullable CommandRule byName,
            boolean namesReservedKey,
            @Nullable CommandGuard guard) {
        String name = Wire.text(command[0]);
        if (byName == null) {
            return Refuse.misformed("ERR unknown command '" + shown(name)
                    + "': Switchback does not know it and passes on nothing that it" + " does not know");
        }
        CommandRule rule =
                byName.treatment() == CommandRule.Treatment.BY_SUBCOMMAND ? CommandTable.find(command) : byName;
        if (rule == null) {
            return Refuse.misformed("ERR unknown subcommand '" + shown(Wire.text(command[1])) + "'. Try "
                    + name.toUpperCase(Locale.ROOT) + " HELP.");
        }
        Verdict whileMonitoring = session.monitor.isOn() ? Monitor.judge(session, rule.name(), command) : null;
        if (whileMonitoring != null) {
            return whileMonitoring;
        }
        String restriction = session.isRestricted() ? Subscribe.refusalWhileSubscribed(rule.name()) : null;
        if (restriction != null) {
            return new Refuse(restriction);
        }
        if (session.isRestricted() && name.equalsIgnoreCase("ping")) {
            return command.length > 2
                    ? new Refuse("ERR wrong number of arguments for 'ping' command")
                    : new Perform(new LocalOperation(session, () -> session.reply(Subscribe.pong(command))));
        }
        if (namesReservedKey) {
            return new Refuse(RESERVED_REFUSAL);
        }
        String refusal = guard == null || rule.repeatable() ? null : guard.refusal(command);
        if (refusal != null) {
            return new Refuse(refusal);
        }
        String tooLarge = tooLarge(session, rule, command);
        if (tooLarge != null) {
            return new Refuse(tooLarge);
        }
        Verdict inCluster = session.loop().isSharded() ? ClusterCommands.judge(session, rule, command) : null;
        if (inCluster != null) {
            return inCluster;
        }
        return switch (rule.treatment()) {
            case PLAIN -> SEND;
            case BLOCKING -> blocking(session, rule, command);
            case SCRIPT -> script(session, rule, command);
            case FILTERED -> filtered(session, rule, command);
            case SESSION -> ofSession(session, rule, command);
            case REFUSED -> byName.name().equals("post") || byName.name().equals("host:") ? new Close() : refused(rule);
            case BY_SUBCOMMAND -> throw new AssertionError("resolved above");
        };
    }

    /** Of what may go over connections that others use, which a server ends that takes no such argument; null where it is not too large. */
    private static @Nullable String tooLarge(ClientSession session, CommandRule rule, byte[][] command) {
        boolean isShared = switch (rule.treatment()) {
            case FILTERED -> true;
            case SESSION -> !rule.name().endsWith("subscribe") && !rule.name().equals("watch");
            case PLAIN, BLOCKING, SCRIPT, REFUSED, BY_SUBCOMMAND -> false;
        };
        return isShared && !session.transaction.open && LargeCommand.isLarge(command)
                ? "ERR switchback: " + rule.words() + " with an argument of " + LargeCommand.ARGUMENT_BYTES
                        + " bytes or more is not supported"
                : null;
    }

    private static Verdict refused(CommandRule rule) {
        return new Refuse("ERR switchback: " + rule.words() + " is refused: " + rule.note());
    }

    static Verdict refusedInTransaction(CommandRule rule) {
        return new Refuse("ERR switchback: " + rule.words() + " is not supported inside MULTI");
    }

    private static String shown(String name) {
        return name.length() > 128 ? name.substring(0, 128) : name;
    }

    static boolean namesReservedKey(byte[][] command) {
        for (int i = 1; i < command.length; i++) {
            if (ReservedKeys.isReserved(command[i])) {
                return true;
            }
        }
        return false;
    }

    static String word(byte[][] command, int index) {
        return Wire.text(command[index]).toUpperCase(Locale.ROOT);
    }

    /** Within MULTI it is EXEC that loads or runs it. */
    private static Verdict script(ClientSession session, CommandRule rule, byte[][] command) {
        session.transaction.hasScripts |= session.transaction.open;
        ScriptCommand script = session.transaction.open ? null : ScriptCommand.of(rule, command);
        return script == null ? SEND : new Send(script);
    }

    /** Within MULTI nothing waits. */
    private static Verdict blocking(ClientSession session, CommandRule rule, byte[][] command) {
        Blocking blocking = session.transaction.open ? null : Blocking.of(rule, command);
        return blocking == null ? SEND : BlockingCommand.judge(session, rule, command, blocking);
    }

    private static Verdict filtered(ClientSession session, CommandRule rule, byte[][] command) {
        boolean inTransaction = session.transaction.open;
        return switch (rule.name()) {
            case "scan", "hscan", "sscan", "zscan" -> {
                int cursor = rule.name().equals("scan") ? 1 : 2;
                if (command.length <= cursor) {
                    yield SEND;
                }
                if (!inTransaction) {
                    yield new Perform(new ScanOperation(session, command, cursor));
                }
                // A cursor may be of another fleet, and EXEC's replies go by as they come; the beginning is the same on
                // both.
                yield Wire.text(command[cursor]).equals("0")
                        ? SEND
                        : new Refuse("ERR switchback: " + rule.words()
                                + " with another cursor than 0 is not supported inside MULTI");
            }
            case "keys" ->
                inTransaction || command.length != 2 || !mayMatchReserved(command[1])
                        ? SEND
                        : new Perform(new KeysOperation(session, command));
            case "randomkey" ->
                inTransaction || command.length != 1 ? SEND : new Perform(new RandomKeyOperation(session, command));
            case "dbsize" ->
                inTransaction || command.length != 1 ? SEND : new Perform(new DatabaseSizeOperation(session));
            default -> throw new AssertionError("no operation for " + rule.name());
        };
    }

    /** Whether a glob pattern could match a key with the reserved prefix, judged by the letters before its first wildcard. */
    static boolean mayMatchReserved(byte[] pattern) {
        int literal = 0;
        while (literal < pattern.length && "*?[\\".indexOf(pattern[literal]) < 0) {
            literal++;
        }
        int common = Math.min(literal, PREFIX.length);
        return Arrays.equals(pattern, 0, common, PREFIX, 0, common);
    }

    private static Verdict ofSession(ClientSession session, CommandRule rule, byte[][] command) {
        boolean inTransaction = session.transaction.open;
        boolean alone = command.length == 1;
        return switch (rule.name()) {
            case "multi" -> inTransaction || !alone ? SEND : new Perform(new BeginTransaction(session, command));
            case "exec" -> inTransaction && alone ? new Perform(new Execute(session)) : SEND;
            case "discard" -> inTransaction && alone ? new Perform(new Discard(session)) : SEND;
            case "watch" -> inTransaction || alone ? SEND : new Perform(new BeginTransaction(session, command));
            case "unwatch" -> {
                boolean forgets = session.transaction.watching || session.transaction.watchLost;
                yield inTransaction || !alone || !forgets ? SEND : new Perform(new Unwatch(session));
            }
            case "client|getredir", "client|trackinginfo" ->
                inTransaction ? redirectInTransaction(session, rule) : TrackingInfo.judge(session, command);
            case "select" -> {
                if (!inTransaction) {
                    yield outsideTransaction(session, rule, command);
                }
                session.transaction.selects = true;
                yield SEND;
            }
            case "script|kill", "function|kill" ->
                inTransaction || command.length != 2 ? SEND : new Perform(new KillScript(session, command));
            case "quit" -> new Perform(LocalOperation.quit(session));
            case "reset" -> alone ? new Perform(LocalOperation.reset(session)) : SEND;
            default -> inTransaction ? refusedInTransaction(rule) : outsideTransaction(session, rule, command);
        };
    }

    private static Verdict redirectInTransaction(ClientSession session, CommandRule rule) {
        return session.tracking.redirect() == null ? SEND : refusedInTransaction(rule);
    }

    private static Verdict outsideTransaction(ClientSession session, CommandRule rule, byte[][] command) {
        boolean alone = command.length == 1;
        return switch (rule.name()) {
            case "subscribe", "psubscribe", "ssubscribe" -> subscribe(session, rule, command, true);
            case "unsubscribe", "punsubscribe", "sunsubscribe" -> subscribe(session, rule, command, false);
            case "auth" ->
                command.length != 2 && command.length != 3
                        ? SEND
                        : Authenticate.isTooLate(session, Authenticate.credential(command, 1))
                                ? notWhileSubscribed(rule)
                                : new Perform(new Authenticate(session, command));
            case "select" -> command.length == 2 ? SelectDatabase.judge(session, command) : SEND;
            case "hello" -> Hello.judge(session, rule, command);
            case "monitor" ->
                !alone
                        ? SEND
                        : session.needsOwnConnection()
                                ? new Refuse(MONITOR_REFUSAL)
                                : new Perform(session.monitor.asking(false));
            case "debug|*" -> debug(session, command);
            case "client|unblock" -> UnblockClient.judge(session, command);
            case "client|capa" -> ClientCapabilities.judge(session, command);
            case "client|no-touch", "client|import-source" ->
                command.length == 3 ? OverOwnConnection.mode(session, command) : SEND;
            case "client|pause", "client|unpause" -> OverOwnConnection.plain(session, command);
            case "client|tracking", "client|caching" -> ClientTracking.judge(session, command);
            case "client|setname",
                    "client|getname",
                    "client|setinfo",
                    "client|id",
                    "client|info",
                    "client|no-evict",
                    "client|reply",
                    "client|list",
                    "client|kill" -> ClientCommands.judge(session, rule, command);
            case "sentinel|get-master-addr-by-name",
                    "sentinel|get-primary-addr-by-name",
                    "sentinel|master",
                    "sentinel|primary",
                    "sentinel|masters",
                    "sentinel|primaries",
                    "sentinel|replicas",
                    "sentinel|slaves",
                    "sentinel|sentinels",
                    "sentinel|myid",
                    "sentinel|ckquorum" -> SentinelAnswer.judge(session, rule, command);
            default -> throw new AssertionError("no operation for " + rule.name());
        };
    }

    private static Verdict debug(ClientSession session, byte[][] command) {
        boolean pushes = command.length > 2
                && word(command, 1).equals("PROTOCOL")
                && word(command, 2).equals("PUSH");
        // In RESP2 Redis 6.0 has no reply to it at all, and what comes behind would wait for ever.
        return pushes && session.identity.protocol() == Protocol.RESP2
                ? new Refuse("ERR RESP2 is not supported by this command")
                : OverOwnConnection.spoiling(session, command);
    }

    private static Verdict subscribe(ClientSession session, CommandRule rule, byte[][] command, boolean adds) {
        if (adds && command.length == 1) {
            return Refuse.misformed("ERR wrong number of arguments for '" + rule.name() + "' command");
        }
        long bytes = session.subscriptions.nameBytes();
        for (byte[] name : command) {
            bytes += name.length;
        }
        int max = session.loop().limits().subscriptionBytesMax();
        if (adds && bytes > max) {
            session.loop().reached(Limit.SUBSCRIPTION_BYTES);
            return new Refuse(
                    "ERR switchback: one client may subscribe to names of no more than " + max + " bytes together");
        }
        String plain = adds ? rule.name() : rule.name().replace("unsubscribe", "subscribe");
        Subscriptions.Kind kind = switch (plain) {
            case "subscribe" -> Subscriptions.Kind.CHANNEL;
            case "psubscribe" -> Subscriptions.Kind.PATTERN;
            default -> Subscriptions.Kind.SHARD;
        };
        return new Perform(new Subscribe(session, kind, adds, command));
    }

    static Verdict notWhileSubscribed(CommandRule rule) {
        return new Refuse("ERR switchback: " + rule.words()
                + " as another user is not supported while the client is subscribed to something");
    }

    static Verdict send() {
        return SEND;
    }
}
