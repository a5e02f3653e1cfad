package io.switchback.resp;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What clients send, decoded the plain way: all bytes at hand, an object for everything. {@link RequestScanner} and {@link
 * InlineCommand} must find the same. Written from the protocol's description and the servers' behaviour, not from those two.
 *
 * <p>Only for less than 64 KiB: from there on it matters how the bytes were cut, for the servers too.
 */
final class ReferenceRequests {
    private final String in;
    private final int bulkBytesMax;
    private final String mark;
    private final List<String> found = new ArrayList<>();
    private int position;

    private ReferenceRequests(byte[] bytes, int bulkBytesMax, String mark) {
        this.in = new String(bytes, ISO_8859_1);
        this.bulkBytesMax = bulkBytesMax;
        this.mark = mark;
    }

    /** What is found up to the first error or the end, in words. */
    static List<String> decode(byte[] bytes, int bulkBytesMax, String mark) {
        ReferenceRequests requests = new ReferenceRequests(bytes, bulkBytesMax, mark);
        while (requests.next()) {
            // one request each
        }
        return requests.found;
    }

    private boolean next() {
        if (position == in.length()) {
            return false;
        }
        return in.charAt(position) == '*' ? array() : line();
    }

    private boolean line() {
        int end = in.indexOf('\n', position);
        if (end < 0) {
            return false;
        }
        String line = in.substring(position, end).replaceFirst("\r$", "");
        int zero = line.indexOf('\0');
        position = end + 1;
        found.add("line " + words(zero < 0 ? line : line.substring(0, zero)) + " up to " + position);
        return true;
    }

    private boolean array() {
        int end = in.indexOf('\r', position);
        if (end < 0 || end + 2 > in.length()) {
            return false;
        }
        if (!in.startsWith("\r\n", end)) {
            return error("invalid CRLF in request");
        }
        BigInteger count = number(in.substring(position + 1, end));
        if (count == null || count.compareTo(BigInteger.valueOf(RequestScanner.ARGUMENTS_MAX)) > 0) {
            return error("invalid multibulk length");
        }
        int at = end + 2;
        List<String> arguments = new ArrayList<>();
        boolean marked = false;
        for (int i = 0; i < Math.max(0, count.longValue()); i++) {
            int lineEnd = in.indexOf('\r', at);
            if (lineEnd < 0 || lineEnd + 2 > in.length()) {
                return false;
            }
            if (!in.startsWith("\r\n", lineEnd)) {
                return error("invalid CRLF in request");
            }
            if (in.charAt(at) != '$') {
                char got = in.charAt(at);
                return error("expected '$', got '" + (got == '\r' || got == '\n' ? ' ' : got) + "'");
            }
            BigInteger length = number(in.substring(at + 1, lineEnd));
            if (length == null || length.signum() < 0 || length.compareTo(BigInteger.valueOf(bulkBytesMax)) > 0) {
                return error("invalid bulk length");
            }
            at = lineEnd + 2;
            if (at + length.intValue() + 2 > in.length()) {
                return false;
            }
            String argument = in.substring(at, at + length.intValue());
            marked |= i > 0 && argument.startsWith(mark);
            arguments.add(argument);
            at += length.intValue();
            if (!in.startsWith("\r\n", at)) {
                return error("invalid CRLF in request");
            }
            at += 2;
        }
        position = at;
        found.add((count.signum() <= 0 ? "nothing" : "command " + arguments + (marked ? " marked" : "")) + " up to "
                + position);
        return true;
    }

    private boolean error(String what) {
        found.add("Protocol error: " + what);
        return false;
    }

    /** Null where the servers see no number. */
    private static @Nullable BigInteger number(String text) {
        if (!text.matches("0|-?[1-9][0-9]*")) {
            return null;
        }
        BigInteger number = new BigInteger(text);
        return number.bitLength() < Long.SIZE ? number : null;
    }

    // --- a line's words

    /** "unbalanced" where quotes do not close, or something follows a closing quote. */
    private static String words(String line) {
        List<String> words = new ArrayList<>();
        String rest = line;
        while (true) {
            rest = rest.replaceFirst("^[ \\t\\n\\x0b\\f\\r]+", "");
            if (rest.isEmpty()) {
                return words.toString();
            }
            StringBuilder word = new StringBuilder();
            int i = 0;
            while (i < rest.length() && " \t\n\r\"'".indexOf(rest.charAt(i)) < 0) {
                word.append(rest.charAt(i++));
            }
            if (i < rest.length() && (rest.charAt(i) == '"' || rest.charAt(i) == '\'')) {
                int end = rest.charAt(i) == '"' ? doubleQuoted(rest, i + 1, word) : singleQuoted(rest, i + 1, word);
                if (end < 0 || (end < rest.length() && " \t\n\u000b\f\r".indexOf(rest.charAt(end)) < 0)) {
                    return "unbalanced";
                }
                i = end;
            }
            words.add(word.toString());
            rest = rest.substring(i);
        }
    }

    private static int singleQuoted(String text, int from, StringBuilder word) {
        int i = from;
        while (i < text.length() && text.charAt(i) != '\'') {
            if (text.startsWith("\\'", i)) {
                i++;
            }
            word.append(text.charAt(i++));
        }
        return i < text.length() ? i + 1 : -1;
    }

    private static int doubleQuoted(String text, int from, StringBuilder word) {
        int i = from;
        while (i < text.length() && text.charAt(i) != '"') {
            if (text.charAt(i) != '\\' || i + 1 == text.length()) {
                word.append(text.charAt(i++));
            } else if (text.substring(i).matches("(?s)\\\\x[0-9a-fA-F]{2}.*")) {
                word.append((char) Integer.parseInt(text.substring(i + 2, i + 4), 16));
                i += 4;
            } else {
                char c = text.charAt(i + 1);
                int special = "nrtba".indexOf(c);
                word.append(special < 0 ? c : "\n\r\t\b\u0007".charAt(special));
                i += 2;
            }
        }
        return i < text.length() ? i + 1 : -1;
    }
}
