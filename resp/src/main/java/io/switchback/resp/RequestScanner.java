package io.switchback.resp;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.netty.buffer.ByteBuf;

/**
 * Finds the end of one command after another in bytes as clients send them, without copying or building anything.
 *
 * <p>The reference is what servers do ({@code processMultibulkBuffer} and {@code processInlineBuffer} of
 * {@code networking.c}), their error texts included. A scan that stops for want of bytes goes on where it stopped, so that
 * a command that comes in many pieces costs what one in a single piece costs.
 *
 * <p>Owned by the event loop of its connection. It does not own the buffers that it looks at and leaves their indices alone.
 *
 * <p>Invariant: between two calls the caller may move the bytes to another buffer, but the command that is being scanned
 * must begin at the index that the next call names.
 */
public final class RequestScanner {
    /** What servers allow for a line: an inline command, or a count or length that has not ended yet. */
    public static final int LINE_BYTES_MAX = 64 * 1024;

    /** What Redis 6.0 allows; newer servers allow 2,048 times as many, which nobody sends. */
    public static final int ARGUMENTS_MAX = 1024 * 1024;

    /** What {@link #error} says of an argument that is longer than it may be. */
    public static final String INVALID_BULK_LENGTH = "Protocol error: invalid bulk length";

    /**
     * As Valkey 9 says it. Others skip whatever stands where a line should end; passed on to a server that does not, it would end the
     * connection for everybody whose commands go over it.
     */
    private static final String INVALID_LINE_END = "Protocol error: invalid CRLF in request";

    private static final int LINE_END = '\r' << 8 | '\n';

    static final int NEED_MORE = -1;
    private static final int BROKEN = -2;
    private static final int NOT_STARTED = -1;

    /** What a scan found. */
    public enum Outcome {
        /** A whole command, up to {@link #end()}. */
        COMMAND,
        /** A whole line that is a command the way a person types one: for {@link InlineCommand}, up to {@link #end()}. */
        INLINE,
        /** Something that servers skip without a reply, such as an empty array, up to {@link #end()}. */
        NOTHING,
        /** More bytes are needed. */
        INCOMPLETE,
        /** What no server accepts; {@link #error()} is what it says before it closes the connection. */
        MALFORMED
    }

    /** What an argument may begin with that the caller wants to hear of; made once for all scanners. */
    public static final class Mark {
        private final byte[] bytes;
        private final long head;

        /** Of eight characters of ASCII at least. */
        public Mark(String text) {
            bytes = text.getBytes(US_ASCII);
            if (bytes.length < Long.BYTES) {
                throw new IllegalArgumentException("a mark of less than eight bytes: " + text);
            }
            long first = 0;
            for (int i = 0; i < Long.BYTES; i++) {
                first = first << 8 | (bytes[i] & 0xff);
            }
            head = first;
        }
    }

    private final Mark mark;
    private final int bulkBytesMax;

    /** Bytes of the command that are behind us. */
    private int progress;
    /** Bytes of an unfinished line in which no carriage return was found. */
    private int searched;

    private int arguments;
    private int argumentsLeft = NOT_STARTED;
    private int bulkBytes = NOT_STARTED;
    private int nameOffset;
    private int nameLength;
    private boolean marked;
    private int end;
    private long number;
    private int behindLine;
    private String error = "";

    /**
     * @param bulkBytesMax what the servers call proto-max-bulk-len
     * @param mark of each command it is told whether an argument after its name begins with this
     */
    public RequestScanner(int bulkBytesMax, Mark mark) {
        this.bulkBytesMax = bulkBytesMax;
        this.mark = mark;
    }

    public RequestScanner(int bulkBytesMax, String mark) {
        this(bulkBytesMax, new Mark(mark));
    }

    /** Forgets an unfinished command; the next scan starts from its first byte. */
    public void reset() {
        progress = 0;
        searched = 0;
        argumentsLeft = NOT_STARTED;
        bulkBytes = NOT_STARTED;
    }

    /** Looks at the command that begins at {@code from}, up to the buffer's writer index. */
    public Outcome next(ByteBuf in, int from) {
        int limit = in.writerIndex();
        if (argumentsLeft == NOT_STARTED) {
            if (from >= limit) {
                return Outcome.INCOMPLETE;
            }
            if (in.getByte(from) != '*') {
                return inline(in, from, limit);
            }
            int next = line(in, from, limit, '*');
            if (next < 0) {
                return stopped(next);
            }
            if (number > ARGUMENTS_MAX) {
                return malformed("Protocol error: invalid multibulk length");
            }
            if (number <= 0) {
                end = next;
                return Outcome.NOTHING;
            }
            arguments = (int) number;
            argumentsLeft = arguments;
            marked = false;
            progress = next - from;
        }
        return arguments(in, from, limit);
    }

    private Outcome arguments(ByteBuf in, int from, int limit) {
        int position = from + progress;
        while (argumentsLeft > 0) {
            if (bulkBytes == NOT_STARTED) {
                int next = line(in, position, limit, '$');
                if (next < 0) {
                    return stopped(next);
                }
                if (number < 0 || number > bulkBytesMax) {
                    return malformed(INVALID_BULK_LENGTH);
                }
                bulkBytes = (int) number;
                position = next;
                progress = next - from;
            }
            if (limit - position < (long) bulkBytes + 2) {
                return Outcome.INCOMPLETE;
            }
            if (argumentsLeft == arguments) {
                nameOffset = progress;
                nameLength = bulkBytes;
            } else if (isMarked(in, position, bulkBytes)) {
                marked = true;
            }
            if (!isLineEnd(in, position + bulkBytes)) {
                return malformed(INVALID_LINE_END);
            }
            position += bulkBytes + 2;
            progress = position - from;
            bulkBytes = NOT_STARTED;
            argumentsLeft--;
        }
        end = position;
        progress = 0;
        argumentsLeft = NOT_STARTED;
        return Outcome.COMMAND;
    }

    private boolean beginsWithMark(ByteBuf in, int position) {
        for (int i = Long.BYTES; i < mark.bytes.length; i++) {
            if (in.getByte(position + i) != mark.bytes[i]) {
                return false;
            }
        }
        return true;
    }

    /** The length of the argument, not the command's name, in which the last scan stopped for want of bytes; 0 where it stopped elsewhere. */
    public int bytesOfUnfinishedArgument() {
        return bulkBytes == NOT_STARTED || argumentsLeft == arguments ? 0 : bulkBytes;
    }

    /** Of the command at whose end the last scan did not arrive, the arguments that are whole, its name among them. */
    public int wholeArguments() {
        return arguments - argumentsLeft;
    }

    /**
     * Goes on with the command within an argument of which the last scan stopped, piece by piece; the next scan of this one starts with
     * the command that follows. {@code from} is where it begins. Its arguments so far are kept where {@code keptBytesMax} is positive.
     */
    public CommandInPieces inPieces(ByteBuf in, int from, int keptBytesMax) {
        if (bytesOfUnfinishedArgument() == 0) {
            throw new IllegalStateException("the last scan did not stop within an argument");
        }
        CommandInPieces rest = new CommandInPieces(
                new RequestScanner(bulkBytesMax, mark), argumentsLeft, bulkBytes, progress, marked, keptBytesMax);
        rest.keepWhole(in, from, arguments - argumentsLeft);
        reset();
        return rest;
    }

    /** Whether an argument of this length that begins at {@code position} has the mark; so many of its bytes must be there as the mark has. */
    boolean isMarked(ByteBuf in, int position, int length) {
        return length >= mark.bytes.length && in.getLong(position) == mark.head && beginsWithMark(in, position);
    }

    int markBytes() {
        return mark.bytes.length;
    }

    /** The length that the line at {@code start} announces for an argument, or one of the constants below zero. */
    long argumentLength(ByteBuf in, int start, int limit) {
        int next = line(in, start, limit, '$');
        if (next < 0) {
            return next;
        }
        if (number < 0 || number > bulkBytesMax) {
            return broken(INVALID_BULK_LENGTH);
        }
        behindLine = next;
        return number;
    }

    /** Whether the argument that ends at that index ends as it must; if not, {@link #error} says so. Two bytes must be there. */
    boolean endsAt(ByteBuf in, int index) {
        boolean ends = isLineEnd(in, index);
        if (!ends) {
            error = INVALID_LINE_END;
        }
        return ends;
    }

    /** The index behind the line that {@link #argumentLength} has read. */
    int behindLine() {
        return behindLine;
    }

    private Outcome inline(ByteBuf in, int from, int limit) {
        int lineFeed = in.indexOf(from + searched, limit, (byte) '\n');
        if (lineFeed < 0) {
            if (limit - from > LINE_BYTES_MAX) {
                return malformed("Protocol error: too big inline request");
            }
            searched = limit - from;
            return Outcome.INCOMPLETE;
        }
        searched = 0;
        end = lineFeed + 1;
        return Outcome.INLINE;
    }

    /** Reads a count or length into {@link #number}; the index behind its line, or why there is none. */
    private int line(ByteBuf in, int start, int limit, char type) {
        if (start < limit && in.getByte(start) == type) {
            int first = start + 1;
            int index = first;
            long value = 0;
            while (index < limit && index - first < 10) {
                int digit = in.getByte(index) - '0';
                if (digit < 0 || digit > 9) {
                    break;
                }
                value = value * 10 + digit;
                index++;
            }
            boolean plain = index == first + 1 || (index > first && in.getByte(first) != '0');
            if (plain && index + 1 < limit && isLineEnd(in, index)) {
                number = value;
                searched = 0;
                return index + 2;
            }
        }
        return unusualLine(in, start, limit, type);
    }

    private int unusualLine(ByteBuf in, int start, int limit, char type) {
        int carriageReturn = in.indexOf(start + searched, limit, (byte) '\r');
        if (carriageReturn < 0) {
            if (limit - start > LINE_BYTES_MAX) {
                return broken("Protocol error: too big " + (type == '*' ? "mbulk" : "bulk") + " count string");
            }
            searched = limit - start;
            return NEED_MORE;
        }
        if (carriageReturn + 1 >= limit) {
            searched = carriageReturn - start;
            return NEED_MORE;
        }
        searched = 0;
        if (!isLineEnd(in, carriageReturn)) {
            return broken(INVALID_LINE_END);
        }
        byte first = in.getByte(start);
        if (first != type) {
            // Servers put a blank where the character would break the line of the error.
            char shown = first == '\r' || first == '\n' ? ' ' : (char) (first & 0xff);
            return broken("Protocol error: expected '$', got '" + shown + "'");
        }
        if (!strictNumber(in, start + 1, carriageReturn)) {
            return broken("Protocol error: invalid " + (type == '*' ? "multibulk" : "bulk") + " length");
        }
        return carriageReturn + 2;
    }

    /** As the servers' {@code string2ll}: no blanks, no plus, no zeros in front, nothing but digits. */
    private boolean strictNumber(ByteBuf in, int start, int stop) {
        boolean negative = start < stop && in.getByte(start) == '-';
        int first = negative ? start + 1 : start;
        int digits = stop - first;
        if (digits < 1 || digits > 19 || (in.getByte(first) == '0' && (digits > 1 || negative))) {
            return false;
        }
        long value = 0;
        for (int i = first; i < stop; i++) {
            int digit = in.getByte(i) - '0';
            if (digit < 0 || digit > 9) {
                return false;
            }
            value = value * 10 + digit;
        }
        if (value < 0 && !(negative && value == Long.MIN_VALUE)) {
            return false; // nineteen digits are at most once too many for 63 bits, and then the sign shows it
        }
        number = negative ? -value : value;
        return true;
    }

    /** Whether a line ends at that index; two bytes must be there. */
    static boolean isLineEnd(ByteBuf in, int index) {
        return in.getShort(index) == LINE_END;
    }

    private Outcome stopped(int reason) {
        return reason == NEED_MORE ? Outcome.INCOMPLETE : Outcome.MALFORMED;
    }

    private Outcome malformed(String message) {
        error = message;
        return Outcome.MALFORMED;
    }

    private int broken(String message) {
        error = message;
        return BROKEN;
    }

    /** The index behind what the last scan found. */
    public int end() {
        return end;
    }

    /** How many bulk strings the last command has, its name included. */
    public int arguments() {
        return arguments;
    }

    /** Where the last command's name begins, counted from the command's first byte. */
    public int nameOffset() {
        return nameOffset;
    }

    /** The length of the last command's name in bytes. */
    public int nameLength() {
        return nameLength;
    }

    /** Whether an argument of the last command begins with the mark. */
    public boolean marked() {
        return marked;
    }

    /** What the server says to the malformed command, without {@code -ERR}. */
    public String error() {
        return error;
    }

    /** The arguments of the whole command that begins at {@code from}, as copies; name first. */
    public static byte[][] copyArguments(ByteBuf in, int from) {
        int[] index = {from + 1};
        return copyArguments(in, index, readNumber(in, index));
    }

    /** How many words the command that begins at {@code from} has, its name among them. */
    public static int words(ByteBuf in, int from) {
        return readNumber(in, new int[] {from + 1});
    }

    /** The first {@code count} arguments of the command that begins at {@code from}, which must be whole. */
    public static byte[][] copyArguments(ByteBuf in, int from, int count) {
        int[] index = {from + 1};
        readNumber(in, index);
        return copyArguments(in, index, count);
    }

    /** Whether the command that begins at {@code from}, and whose length has come, has an argument beside its name. */
    public static boolean hasArguments(ByteBuf in, int from) {
        int[] index = {from + 1};
        return readNumber(in, index) > 1;
    }

    private static byte[][] copyArguments(ByteBuf in, int[] index, int count) {
        byte[][] copies = new byte[count][];
        for (int i = 0; i < copies.length; i++) {
            index[0]++;
            copies[i] = new byte[readNumber(in, index)];
            in.getBytes(index[0], copies[i]);
            index[0] += copies[i].length + 2;
        }
        return copies;
    }

    private static int readNumber(ByteBuf in, int[] index) {
        int value = 0;
        int i = index[0];
        for (byte b = in.getByte(i); b != '\r'; b = in.getByte(++i)) {
            value = value * 10 + (b - '0');
        }
        index[0] = i + 2;
        return value;
    }
}
