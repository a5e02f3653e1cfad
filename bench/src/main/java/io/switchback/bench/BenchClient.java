package io.switchback.bench;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;

/** One connection that asks for keys, as plainly as can be: what it costs itself hides little. For one thread. */
final class BenchClient implements AutoCloseable {
    private static final int TIMEOUT_MS = 60_000;

    private final Socket socket = new Socket();
    private final byte[] buffer = new byte[64 * 1024];

    BenchClient(int port) {
        try {
            socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), TIMEOUT_MS);
            socket.setTcpNoDelay(true);
            socket.setSoTimeout(TIMEOUT_MS);
        } catch (IOException e) {
            throw new UncheckedIOException("There is no connection to port " + port, e);
        }
    }

    static byte[] get(String key) {
        return ("*2\r\n$3\r\nGET\r\n$" + key.length() + "\r\n" + key + "\r\n").getBytes(US_ASCII);
    }

    void send(byte[] bytes) {
        try {
            socket.getOutputStream().write(bytes);
        } catch (IOException e) {
            throw new UncheckedIOException("The connection broke", e);
        }
    }

    /** Reads so many bytes. */
    void read(int bytes) {
        try {
            InputStream in = socket.getInputStream();
            for (int missing = bytes; missing > 0; ) {
                int count = in.read(buffer, 0, Math.min(buffer.length, missing));
                if (count < 0) {
                    throw new IOException("the other side has closed");
                }
                missing -= count;
            }
        } catch (IOException e) {
            throw new UncheckedIOException("The connection broke", e);
        }
    }

    /** Sends a command whose reply has so many bytes; how long that took. */
    long askNanos(byte[] command, int replyBytes) {
        long begin = System.nanoTime();
        send(command);
        read(replyBytes);
        return System.nanoTime() - begin;
    }

    @Override
    public void close() {
        try {
            socket.close();
        } catch (IOException e) {
            throw new UncheckedIOException("The connection cannot be closed", e);
        }
    }
}
