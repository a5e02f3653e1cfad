package io.switchback.resp;

import io.netty.buffer.ByteBuf;
import java.util.Arrays;

/**
 * Counts complete replies in bytes as servers send them, RESP2 and RESP3, without building them.
 *
 * <p>A push message is no reply: {@link #scan} stops before it, and {@link #scanPush} takes it. An attribute belongs to the reply
 * behind it.
 *
 * <p>It remembers where it is within a reply, so each byte is looked at once however the bytes are cut, and the caller
 * need not keep what it has passed on. Nesting is followed without recursion, up to {@link #DEPTH_MAX}.
 *
 * <p>Owned by the event loop of its connection. It does not own the buffers that it looks at and leaves their indices alone.
 */
public final class ReplyScanner {
    /**
     * Aggregates within aggregates. The deepest reply of a server's own (COMMAND DOCS) has eight levels; scripts may return as many as Lua's
     * stack has place for, which is less than this.
     */
    public static final int DEPTH_MAX = 8192;

    private static final int DEPTH_AT_FIRST = 16;

    private static final int LENGTH_DIGITS_MAX = 12;

    /** What {@link #scan} returns for bytes that are no reply. */
    public static final int MALFORMED = -1;

    private enum State {
        TYPE,
        LINE,
        BULK_LENGTH,
        ARRAY_LENGTH,
        BULK
    }

    private long[] elementsLeft = new long[DEPTH_AT_FIRST];
    private boolean[] isAttribute = new boolean[DEPTH_AT_FIRST];
    private State state = State.TYPE;
    private int depth;
    private long number;
    private int digits;
    private boolean negative;
    private long bytesLeft;

    private int completed;
    private int errors;
    private byte type;
    /** What the length that is being read counts: {@code * ~ % |} or {@code >}. */
    private byte aggregate;
    /** An attribute has ended whose reply has not begun. */
    private boolean attributed;

    private boolean inPush;
    private boolean stopsAtErrors;

    /** Whether the bytes at {@code from} are part of a push message. */
    public boolean isPush(ByteBuf in, int from) {
        return inPush || (isBetweenReplies() && in.getByte(from) == '>');
    }

    private boolean isBetweenReplies() {
        return depth == 0 && state == State.TYPE;
    }

    /**
     * Looks at a push message, or the next part of one, where {@link #isPush} says that there is one.
     *
     * @return as {@link #scan}; {@link #insidePush} says whether there is more to come
     */
    public int scanPush(ByteBuf in, int from, int limit) {
        int index = from;
        if (!inPush) {
            inPush = true;
            index = begin((byte) '>', State.ARRAY_LENGTH, from);
        }
        errors = 0;
        completed = 0;
        return advance(in, index, limit, 1);
    }

    /** How many bytes are to come of the string in which the last scan stopped; 0 where it did not stop in one. */
    public long bytesMissing() {
        return state == State.BULK ? bytesLeft : 0;
    }

    /** The length of that string. */
    public long bytesOfUnfinishedString() {
        return state == State.BULK ? number : 0;
    }

    /** Whether the last scan stopped in the middle of a push message. */
    public boolean insidePush() {
        return inPush;
    }

    /**
     * Looks at the bytes from {@code from} up to {@code limit}, at most until {@code wanted} replies have ended or a push message
     * begins.
     *
     * @return the index behind the last byte that it took, or {@link #MALFORMED}, after which the scanner is of no use
     */
    public int scan(ByteBuf in, int from, int limit, int wanted) {
        completed = 0;
        errors = 0;
        return advance(in, from, limit, wanted);
    }

    /** As {@link #scan}, but no further than to an error that is a reply, unless that is the first one. */
    public int scanToError(ByteBuf in, int from, int limit, int wanted) {
        stopsAtErrors = true;
        try {
            return scan(in, from, limit, wanted);
        } finally {
            stopsAtErrors = false;
        }
    }

    private int advance(ByteBuf in, int from, int limit, int wanted) {
        int index = from;
        while (completed < wanted && index < limit) {
            if (isBetweenReplies() && isEnd(in.getByte(index), index > from)) {
                return index;
            }
            index = switch (state) {
                case TYPE -> readType(in, index);
                case LINE -> skipLine(in, index, limit);
                case BULK_LENGTH, ARRAY_LENGTH -> readLength(in, index, limit);
                case BULK -> skipBulk(index, limit);
            };
            if (index == MALFORMED) {
                return MALFORMED;
            }
        }
        return index;
    }

    private boolean isEnd(byte first, boolean later) {
        return first == '>' || (stopsAtErrors && later && first == '-');
    }

    private int readType(ByteBuf in, int index) {
        byte first = in.getByte(index);
        if (depth == 0) {
            type = first;
        }
        return switch (first) {
            case '+', ':', '_', '#', ',', '(' -> begin(first, State.LINE, index);
            case '$', '=' -> begin(first, State.BULK_LENGTH, index);
            case '*', '~', '%', '|' -> begin(first, State.ARRAY_LENGTH, index);
            case '-' -> {
                countError();
                yield begin(first, State.LINE, index);
            }
            case '!' -> {
                countError();
                yield begin(first, State.BULK_LENGTH, index);
            }
            default -> MALFORMED;
        };
    }

    private void countError() {
        if (depth == 0) {
            errors++;
        }
    }

    private int begin(byte first, State next, int index) {
        aggregate = first;
        state = next;
        number = 0;
        digits = 0;
        negative = false;
        return index + 1;
    }

    private int skipLine(ByteBuf in, int index, int limit) {
        int lineFeed = in.indexOf(index, limit, (byte) '\n');
        if (lineFeed >= 0) {
            ended();
            return lineFeed + 1;
        }
        return limit;
    }

    private int readLength(ByteBuf in, int start, int limit) {
        int index = start;
        while (index < limit) {
            byte b = in.getByte(index++);
            if (b >= '0' && b <= '9') {
                if (++digits > LENGTH_DIGITS_MAX) {
                    return MALFORMED;
                }
                number = number * 10 + (b - '0');
            } else if (b == '\n') {
                return lengthRead() ? index : MALFORMED;
            } else if (b == '-' && digits == 0 && !negative) {
                negative = true;
            } else if (b != '\r' || digits == 0) {
                return MALFORMED;
            }
        }
        return index;
    }

    private boolean lengthRead() {
        boolean nil = negative;
        if (state == State.BULK_LENGTH) {
            if (nil) {
                ended();
            } else {
                bytesLeft = number + 2;
                state = State.BULK;
            }
            return digits > 0;
        }
        boolean attribute = aggregate == '|';
        long elements = attribute || aggregate == '%' ? number * 2 : number;
        if (nil || elements == 0) {
            if (attribute) {
                attributeEnded();
            } else {
                ended();
            }
            return digits > 0;
        }
        if (depth == DEPTH_MAX) {
            return false;
        }
        if (depth == elementsLeft.length) {
            elementsLeft = Arrays.copyOf(elementsLeft, 2 * depth);
            isAttribute = Arrays.copyOf(isAttribute, 2 * depth);
        }
        isAttribute[depth] = attribute;
        elementsLeft[depth++] = elements;
        state = State.TYPE;
        return true;
    }

    private void attributeEnded() {
        state = State.TYPE;
        attributed = depth == 0;
    }

    private int skipBulk(int index, int limit) {
        long skipped = Math.min(bytesLeft, limit - index);
        bytesLeft -= skipped;
        if (bytesLeft == 0) {
            ended();
        }
        return index + (int) skipped;
    }

    /** An element has ended, and with it perhaps the aggregates of which it was the last. */
    private void ended() {
        state = State.TYPE;
        while (depth > 0) {
            if (--elementsLeft[depth - 1] > 0) {
                return;
            }
            depth--;
            if (isAttribute[depth]) {
                attributeEnded();
                return;
            }
        }
        attributed = false;
        completed++;
        inPush = false;
    }

    /** How many replies ended within the last scan. */
    public int completed() {
        return completed;
    }

    /** How many replies that are errors began within the last scan. */
    public int errors() {
        return errors;
    }

    /** The first byte of the reply in which the scanner is, or of the last that ended. */
    public byte type() {
        return type;
    }

    /** Whether the last scan stopped in the middle of a reply. */
    public boolean insideReply() {
        return !inPush && (attributed || !isBetweenReplies());
    }
}
