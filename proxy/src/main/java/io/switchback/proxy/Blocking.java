package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.switchback.resp.CommandRule;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * For how long a command asks its server to wait: where that stands in the command, and in which unit.
 *
 * @param index of the argument that says so
 * @param nanosPerUnit of a time of 1
 */
record Blocking(int index, double nanosPerUnit) {
    private static final double SECONDS = 1e9;
    private static final double MILLISECONDS = 1e6;
    private static final double NANOS_MIN = 1e6;

    /** As the servers' {@code string2ll} and, of seconds, {@code strtold} have it, which reads no blanks there. */
    private static final Pattern WHOLE = Pattern.compile("0|-?[1-9][0-9]{0,18}");

    // Possessive: what a client sends here may be long, and each of its digits is looked at once.
    private static final Pattern DECIMAL =
            Pattern.compile("[+-]?(?:[0-9]++\\.?+[0-9]*+|\\.[0-9]++)(?:[eE][+-]?[0-9]++)?+");
    private static final Pattern HEXADECIMAL =
            Pattern.compile("[+-]?0[xX](?:[0-9a-fA-F]++\\.?+[0-9a-fA-F]*+|\\.[0-9a-fA-F]++)([pP][+-]?[0-9]++)?+");

    /** Null where the command does not block, or is not whole and so gets the server's own error. */
    static @Nullable Blocking of(CommandRule rule, byte[][] command) {
        int last = command.length - 1;
        Blocking blocking = switch (rule.name()) {
            case "blpop", "brpop", "bzpopmin", "bzpopmax", "blmove", "brpoplpush" -> new Blocking(last, SECONDS);
            case "blmpop", "bzmpop" -> new Blocking(1, SECONDS);
            case "wait" -> new Blocking(2, MILLISECONDS);
            case "waitaof" -> new Blocking(3, MILLISECONDS);
            case "xread", "xreadgroup" -> new Blocking(ofStreams(command), MILLISECONDS);
            default -> null;
        };
        return blocking == null || blocking.index < 1 || blocking.index > last ? null : blocking;
    }

    /** BLOCK stands among the options before STREAMS; GROUP has two arguments that can be any word. */
    private static int ofStreams(byte[][] command) {
        for (int i = 1; i < command.length; i++) {
            switch (SessionCommands.word(command, i)) {
                case "BLOCK" -> {
                    return i + 1;
                }
                case "STREAMS" -> {
                    return -1;
                }
                case "GROUP" -> i += 2;
                case "COUNT" -> i++;
                default -> {}
            }
        }
        return -1;
    }

    /** How long the command may wait, in nanoseconds: 0 is for ever, as for the server; NaN is no time, and the server says so. */
    double nanos(byte[][] command) {
        String text = Wire.text(command[index]);
        if (nanosPerUnit != SECONDS) {
            return WHOLE.matcher(text).matches() ? Double.parseDouble(text) * nanosPerUnit : Double.NaN;
        }
        if (DECIMAL.matcher(text).matches()) {
            return Double.parseDouble(text) * nanosPerUnit;
        }
        Matcher hexadecimal = HEXADECIMAL.matcher(text);
        if (!hexadecimal.matches()) {
            return Double.NaN; // or infinite, which is out of every server's range
        }
        return Double.parseDouble(hexadecimal.group(1) == null ? text + "p0" : text) * nanosPerUnit;
    }

    /** The command with what is left of its time; never nothing, since that would be for ever. */
    byte[][] with(byte[][] command, double nanos) {
        double units = Math.max(nanos, NANOS_MIN) / nanosPerUnit;
        byte[][] changed = command.clone();
        changed[index] = (nanosPerUnit == SECONDS
                        ? String.format(Locale.ROOT, "%.3f", units)
                        : Long.toString((long) Math.ceil(units)))
                .getBytes(US_ASCII);
        return changed;
    }
}
