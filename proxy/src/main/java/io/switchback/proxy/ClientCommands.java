package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.proxy.SessionCommands.Verdict;
import io.switchback.resp.CommandRule;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** The subcommands of CLIENT that tell or change what the proxy itself knows of a client. */
final class ClientCommands {
    /** Kept for as long as the client is there, and told to whoever asks for CLIENT LIST. */
    private static final int NAME_BYTES_MAX = 4_096;

    private ClientCommands() {}

    static Verdict judge(ClientSession session, CommandRule rule, byte[][] command) {
        SessionIdentity identity = session.identity;
        int arguments = command.length - 2;
        return switch (rule.name()) {
            case "client|id" -> arguments == 0 ? answer(session, () -> Wire.number(identity.id())) : arity(rule);
            case "client|getname" ->
                arguments == 0
                        ? answer(
                                session,
                                () -> identity.name().isEmpty()
                                        ? Wire.nilBulk(identity.protocol())
                                        : bulk(identity.name()))
                        : arity(rule);
            case "client|info" ->
                arguments == 0
                        ? answer(
                                session,
                                () -> Wire.verbatim(
                                        identity.protocol(), info(session).getBytes(StandardCharsets.ISO_8859_1)))
                        : arity(rule);
            case "client|list" -> OtherClients.list(session, command);
            case "client|kill" -> OtherClients.kill(session, command);
            case "client|setname" -> arguments == 1 ? setName(session, Wire.text(command[2])) : arity(rule);
            case "client|setinfo" -> arguments == 2 ? setInfo(session, command) : arity(rule);
            case "client|reply" -> arguments == 1 ? replies(session, command) : arity(rule);
            case "client|no-evict" -> arguments == 1 ? noEvict(session, command) : arity(rule);
            default -> throw new AssertionError("no operation for " + rule.name());
        };
    }

    private static Verdict answer(ClientSession session, Supplier<ByteBuf> reply) {
        return new SessionCommands.Perform(new LocalOperation(session, () -> session.reply(reply.get())));
    }

    private static ByteBuf bulk(String text) {
        return Wire.bulk(text.getBytes(StandardCharsets.ISO_8859_1));
    }

    private static Verdict arity(CommandRule rule) {
        return SessionCommands.Refuse.misformed("ERR wrong number of arguments for '" + rule.name() + "' command");
    }

    private static Verdict setName(ClientSession session, String name) {
        String refusal = refusal("Client names", name);
        if (refusal != null) {
            return new SessionCommands.Refuse(refusal);
        }
        return answer(session, () -> {
            session.identity.named(name);
            return Wire.ok();
        });
    }

    private static Verdict setInfo(ClientSession session, byte[][] command) {
        String attribute = SessionCommands.word(command, 2).toLowerCase(Locale.ROOT);
        String value = Wire.text(command[3]);
        if (!attribute.equals("lib-name") && !attribute.equals("lib-ver")) {
            return new SessionCommands.Refuse("ERR Unrecognized option '" + Wire.text(command[2]) + "'");
        }
        String refusal = refusal(Wire.text(command[2]), value);
        if (refusal != null) {
            return new SessionCommands.Refuse(refusal);
        }
        return answer(session, () -> {
            if (attribute.equals("lib-name")) {
                session.identity.libraryNamed(value);
            } else {
                session.identity.libraryVersioned(value);
            }
            return Wire.ok();
        });
    }

    private static Verdict noEvict(ClientSession session, byte[][] command) {
        String wanted = SessionCommands.word(command, 2);
        return wanted.equals("ON") || wanted.equals("OFF")
                ? answer(session, Wire::ok)
                : new SessionCommands.Refuse("ERR syntax error");
    }

    private static Verdict replies(ClientSession session, byte[][] command) {
        return switch (SessionCommands.word(command, 2)) {
            case "ON" ->
                new SessionCommands.Perform(new LocalOperation(session, () -> {
                    session.replies(true);
                    session.reply(Wire.ok());
                }));
            case "OFF" -> new SessionCommands.Perform(new LocalOperation(session, () -> session.replies(false)));
            case "SKIP" -> new SessionCommands.Perform(new LocalOperation(session, session::skipReplyToNext));
            default -> new SessionCommands.Refuse("ERR syntax error");
        };
    }

    /** Why a client cannot be told by this; null where it can. */
    static @Nullable String refusal(String what, String value) {
        if (value.length() > NAME_BYTES_MAX) {
            return "ERR switchback: " + what + " have no more than " + NAME_BYTES_MAX + " bytes";
        }
        return value.chars().allMatch(c -> c >= '!' && c <= '~')
                ? null
                : "ERR " + what + " cannot contain spaces, newlines or special characters.";
    }

    static String info(ClientSession session) {
        SessionIdentity identity = session.identity;
        long seconds = session.ageSeconds();
        String user = identity.user();
        return "id=" + identity.id() + " addr=" + session.address() + " laddr=" + session.localAddress() + " name="
                + identity.name() + " age=" + seconds
                + " idle=0 flags=" + flags(session) + " db=" + identity.database() + " sub="
                + session.subscriptions.names(Subscriptions.Kind.CHANNEL).size() + " psub="
                + session.subscriptions.names(Subscriptions.Kind.PATTERN).size() + " ssub="
                + session.subscriptions.names(Subscriptions.Kind.SHARD).size() + " multi="
                + (session.transaction.open ? session.transaction.commands : -1) + " user=" + user + " resp="
                + identity.protocol().version() + " redir=" + session.tracking.shownTarget() + " lib-name="
                + identity.libraryName() + " lib-ver=" + identity.libraryVersion() + "\n";
    }

    /** As the servers', in their order. */
    private static String flags(ClientSession session) {
        String flags = (session.monitor.isOn() ? "O" : "")
                + (session.subscriptions.isEmpty() ? "" : "P")
                + (session.transaction.open ? "x" : "")
                + (session.isBlocked() ? "b" : "")
                + (session.tracking.isOn() ? "t" : "");
        return flags.isEmpty() ? "N" : flags;
    }
}
