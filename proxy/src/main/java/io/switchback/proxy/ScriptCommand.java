package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.netty.buffer.ByteBuf;
import io.switchback.resp.CommandRule;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * A command that has loaded, run or flushed scripts once its server says so: until then, and where that refuses it, nothing is remembered or
 * forgotten. Owned by its session's event loop.
 */
final class ScriptCommand {
    /** By so many bytes an error tells what it is about. */
    private static final int BEGIN_BYTES = 32;

    /** What is to be remembered; null where all are to be forgotten. */
    private final byte @Nullable [] body;

    private final boolean loads;
    private final byte[] begin = new byte[BEGIN_BYTES];
    private int beginLength;

    private ScriptCommand(byte @Nullable [] body, boolean loads) {
        this.body = body;
        this.loads = loads;
    }

    /** EVAL and its like with this script. */
    static ScriptCommand runs(byte[] body) {
        return new ScriptCommand(body, false);
    }

    /** Null where the command is none, or not whole. */
    static @Nullable ScriptCommand of(CommandRule rule, byte[][] command) {
        if (rule.treatment() != CommandRule.Treatment.SCRIPT) {
            return null;
        }
        return switch (rule.name()) {
            case "script|flush" -> new ScriptCommand(null, false);
            case "script|load" -> command.length == 3 ? new ScriptCommand(command[2], true) : null;
            default -> command.length > 1 ? runs(command[1]) : null;
        };
    }

    /** Part of the reply to it. */
    void receive(ByteBuf in, int index, int length) {
        int taken = Math.min(length, BEGIN_BYTES - beginLength);
        in.getBytes(index, begin, beginLength, taken);
        beginLength += taken;
    }

    /** The reply is whole. */
    void answered(ProxyLoop loop) {
        byte[] script = body;
        String said = new String(begin, 0, beginLength, US_ASCII).toUpperCase(Locale.ROOT);
        if (script == null) {
            if (said.startsWith("+OK")) {
                loop.scripts().forget();
            }
        } else if (!isRefusal(said)) {
            loop.backends().scriptSeen(script, loads);
        }
    }

    /** A script that fails has been loaded none the less. */
    private boolean isRefusal(String said) {
        boolean isError = said.startsWith("-") || said.startsWith("!");
        return isError
                && (loads
                        || said.startsWith("-NOAUTH")
                        || said.startsWith("-NOPERM")
                        || said.startsWith("-ERR ERROR COMPILING SCRIPT"));
    }
}
