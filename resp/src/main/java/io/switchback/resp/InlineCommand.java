package io.switchback.resp;

import io.netty.buffer.ByteBuf;
import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A command the way a person types it, in one line, split as servers do it ({@code sdssplitargs} of {@code sds.c}): blanks
 * separate, double quotes with escapes, single quotes without.
 */
public final class InlineCommand {
    private final byte[] line;
    private int position;

    private InlineCommand(byte[] line) {
        this.line = line;
    }

    /**
     * The arguments of the line from {@code from} to {@code end}, which is behind its line feed: none for a blank line;
     * empty where quotes are not closed or text follows a closing quote.
     */
    public static Optional<byte[][]> split(ByteBuf in, int from, int end) {
        int stop = end - 1;
        if (stop > from && in.getByte(stop - 1) == '\r') {
            stop--;
        }
        // To the server the line is a C string.
        int zero = in.indexOf(from, stop, (byte) 0);
        byte[] line = new byte[(zero < 0 ? stop : zero) - from];
        in.getBytes(from, line);
        return new InlineCommand(line).split();
    }

    private Optional<byte[][]> split() {
        List<byte[]> arguments = new ArrayList<>();
        while (true) {
            while (position < line.length && isBlank(line[position])) {
                position++;
            }
            if (position == line.length) {
                return Optional.of(arguments.toArray(byte[][]::new));
            }
            ByteArrayOutputStream argument = new ByteArrayOutputStream();
            if (!readArgument(argument)) {
                return Optional.empty();
            }
            arguments.add(argument.toByteArray());
        }
    }

    private boolean readArgument(ByteArrayOutputStream argument) {
        while (position < line.length) {
            byte b = line[position];
            switch (b) {
                case ' ', '\n', '\r', '\t' -> {
                    return true;
                }
                case '"', '\'' -> {
                    position++;
                    return b == '"' ? readDoubleQuoted(argument) : readSingleQuoted(argument);
                }
                default -> {
                    argument.write(b);
                    position++;
                }
            }
        }
        return true;
    }

    private boolean readDoubleQuoted(ByteArrayOutputStream argument) {
        while (position < line.length) {
            byte b = line[position];
            if (b == '"') {
                return closeQuote();
            }
            if (b == '\\' && position + 1 < line.length) {
                readEscape(argument);
            } else {
                argument.write(b);
                position++;
            }
        }
        return false;
    }

    private void readEscape(ByteArrayOutputStream argument) {
        byte b = line[position + 1];
        if (b == 'x' && position + 3 < line.length && hex(position + 2) >= 0 && hex(position + 3) >= 0) {
            argument.write(hex(position + 2) * 16 + hex(position + 3));
            position += 4;
            return;
        }
        argument.write(
                switch (b) {
                    case 'n' -> '\n';
                    case 'r' -> '\r';
                    case 't' -> '\t';
                    case 'b' -> '\b';
                    case 'a' -> 7;
                    default -> b;
                });
        position += 2;
    }

    private boolean readSingleQuoted(ByteArrayOutputStream argument) {
        while (position < line.length) {
            byte b = line[position];
            if (b == '\'') {
                return closeQuote();
            }
            boolean escapedQuote = b == '\\' && position + 1 < line.length && line[position + 1] == '\'';
            argument.write(escapedQuote ? '\'' : b);
            position += escapedQuote ? 2 : 1;
        }
        return false;
    }

    private boolean closeQuote() {
        position++;
        return position == line.length || isBlank(line[position]);
    }

    private int hex(int index) {
        return Character.digit(line[index], 16);
    }

    private static boolean isBlank(byte b) {
        return b == ' ' || (b >= '\t' && b <= '\r');
    }
}
