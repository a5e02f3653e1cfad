package io.switchback.resp;

import java.io.IOException;
import java.io.InputStream;

/** A buffer before a stream, as java.io.BufferedInputStream, for one thread: replies are read byte by byte, and that one takes a lock for each. */
public final class UnlockedInput extends InputStream {
    public static final int BUFFER_BYTES = 64 * 1024;

    private final InputStream in;
    private final byte[] buffer = new byte[BUFFER_BYTES];
    private int at;
    private int end;

    /** Reads ahead from {@code in}, which nobody else reads from any more. */
    public UnlockedInput(InputStream in) {
        this.in = in;
    }

    @Override
    public int read() throws IOException {
        return at < end || fill() ? buffer[at++] & 0xff : -1;
    }

    @Override
    public int read(byte[] bytes, int offset, int length) throws IOException {
        if (length == 0) {
            return 0;
        }
        if (at == end && length >= BUFFER_BYTES) {
            return in.read(bytes, offset, length);
        }
        if (at == end && !fill()) {
            return -1;
        }
        int count = Math.min(length, end - at);
        System.arraycopy(buffer, at, bytes, offset, count);
        at += count;
        return count;
    }

    private boolean fill() throws IOException {
        at = 0;
        end = 0; // should reading fail, there is nothing
        end = Math.max(0, in.read(buffer, 0, BUFFER_BYTES));
        return end > 0;
    }

    @Override
    public int available() throws IOException {
        return end - at + in.available();
    }

    @Override
    public void close() throws IOException {
        in.close();
    }
}
