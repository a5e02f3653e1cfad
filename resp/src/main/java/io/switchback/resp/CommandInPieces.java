package io.switchback.resp;

import io.netty.buffer.ByteBuf;
import java.util.ArrayList;
import java.util.List;

/**
 * The rest of a command that is passed on as it comes, since one of its arguments is large: finds how much of it is there, and where it
 * ends. Made by {@link RequestScanner#inPieces}, and like it owned by the event loop of its connection.
 *
 * <p>A server runs a command once it has its last byte, and forgets one whose connection closes before that. So whoever passes the
 * pieces on may still decide against the command when {@link #isWhole} says that the piece is the last one, by not sending that.
 *
 * <p>Invariant: what {@link #next} has found is behind us; the next call begins with the byte after it.
 */
public final class CommandInPieces {
    /** What {@link #next} returns for what no server accepts. */
    public static final int MALFORMED = -1;

    private static final int LINE_END_BYTES = 2;
    /** An argument that is longer cannot be an option, nor a number: it is kept as an empty one. */
    private static final int KEPT_ARGUMENT_BYTES_MAX = 1024;
    /** What an argument costs that is kept, beside its bytes. */
    private static final int KEPT_ARGUMENT_OVERHEAD_BYTES = 24;

    private final RequestScanner lines;
    private final int keptBytesMax;
    private final List<byte[]> kept = new ArrayList<>();
    private long keptBytes;
    /** Arguments that have not begun, the one of which only the length is known among them. */
    private int argumentsLeft;
    /** Of an argument whose length is known and whose first bytes were not looked at yet; negative without one. */
    private int announced;
    /** Bytes of the argument that has begun. */
    private int bytesLeft;
    /** What has to follow them is passed on as a whole, and looked at before. */
    private boolean lineEndLeft;
    /** Bytes that the scanner had gone through before the argument that is announced. */
    private int behindUs;

    private boolean marked;

    CommandInPieces(
            RequestScanner lines, int argumentsLeft, int announced, int behindUs, boolean marked, int keptBytesMax) {
        this.lines = lines;
        this.argumentsLeft = argumentsLeft;
        this.announced = announced;
        this.behindUs = behindUs;
        this.marked = marked;
        this.keptBytesMax = keptBytesMax;
    }

    /**
     * How many bytes from {@code from} on, up to the buffer's writer index, belong to the command and can be passed on. 0: more are
     * needed. {@link #MALFORMED}: no server accepts what comes, as {@link #error} says.
     */
    public int next(ByteBuf in, int from) {
        int limit = in.writerIndex();
        int position = from + behindUs;
        behindUs = 0;
        while (!isWhole()) {
            if (lineEndLeft) {
                int there = Math.min(bytesLeft, limit - position);
                position += there;
                bytesLeft -= there;
                if (bytesLeft > 0 || limit - position < LINE_END_BYTES) {
                    break;
                }
                if (!lines.endsAt(in, position)) {
                    return MALFORMED;
                }
                position += LINE_END_BYTES;
                lineEndLeft = false;
                continue;
            }
            int begins = position;
            if (announced < 0) {
                long length = lines.argumentLength(in, position, limit);
                if (length == RequestScanner.NEED_MORE) {
                    break;
                }
                if (length < 0) {
                    return MALFORMED;
                }
                announced = (int) length;
                begins = lines.behindLine();
            }
            if (limit - begins < bytesToLookAt()) {
                // The line is looked at again with what follows; only the first one, which the scanner had read, is not
                // there again.
                announced = begins == position ? announced : -1;
                break;
            }
            lookAt(in, begins);
            position = begins;
            bytesLeft = announced;
            lineEndLeft = true;
            announced = -1;
            argumentsLeft--;
        }
        return position - from;
    }

    private int bytesToLookAt() {
        return isKept() && announced <= KEPT_ARGUMENT_BYTES_MAX ? announced : Math.min(announced, lines.markBytes());
    }

    private void lookAt(ByteBuf in, int begins) {
        marked |= lines.isMarked(in, begins, announced);
        byte[] copy = new byte[isKept() && announced <= KEPT_ARGUMENT_BYTES_MAX ? announced : 0];
        in.getBytes(begins, copy);
        keep(copy);
    }

    private boolean isKept() {
        return keptBytesMax > 0 && !keepsTooMuch();
    }

    /** The arguments that the scanner has gone through. */
    void keepWhole(ByteBuf in, int from, int count) {
        if (keptBytesMax > 0) {
            for (byte[] argument : RequestScanner.copyArguments(in, from, count)) {
                keep(argument);
            }
        }
    }

    private void keep(byte[] argument) {
        if (isKept()) {
            kept.add(argument);
            keptBytes += argument.length + KEPT_ARGUMENT_OVERHEAD_BYTES;
        }
    }

    /** All of the command has been found. */
    public boolean isWhole() {
        return argumentsLeft == 0 && !lineEndLeft;
    }

    /** Whether an argument so far begins with the mark. */
    public boolean marked() {
        return marked;
    }

    /** Its arguments have more bytes than may be kept: {@link #arguments} has not all. */
    public boolean keepsTooMuch() {
        return keptBytes > keptBytesMax;
    }

    /** Those that were found so far, its name first; in place of a long one an empty one. */
    public byte[][] arguments() {
        return kept.toArray(byte[][]::new);
    }

    /** What the server says to what is malformed, without {@code -ERR}. */
    public String error() {
        return lines.error();
    }
}
