package io.switchback.sync;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.switchback.fleet.Endpoint;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/**
 * Stands before a server, and changes the last byte of a word wherever the server sends it. The word's first letter is nowhere
 * else in it.
 */
final class DamagingWire implements AutoCloseable {
    private final Endpoint server;
    private final byte[] word;
    private final ServerSocket face = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    private final List<Socket> sockets = new CopyOnWriteArrayList<>();

    DamagingWire(Endpoint server, String word) throws IOException {
        this.server = server;
        this.word = word.getBytes(US_ASCII);
        Thread.ofVirtual().start(this::accept);
    }

    Endpoint endpoint() {
        return new Endpoint(face.getInetAddress().getHostAddress(), face.getLocalPort());
    }

    private void accept() {
        try {
            while (true) {
                Socket client = face.accept();
                Socket behind = new Socket(server.host(), server.port());
                sockets.addAll(List.of(client, behind));
                Thread.ofVirtual().start(() -> pass(client, behind, new byte[0]));
                Thread.ofVirtual().start(() -> pass(behind, client, word));
            }
        } catch (IOException e) {
            close();
        }
    }

    private static void pass(Socket from, Socket to, byte[] damaged) {
        byte[] chunk = new byte[64 * 1024];
        int matched = 0;
        try (from;
                to) {
            InputStream in = from.getInputStream();
            OutputStream out = to.getOutputStream();
            for (int count = in.read(chunk); count >= 0; count = in.read(chunk)) {
                for (int i = 0; i < count && damaged.length > 0; i++) {
                    matched = chunk[i] == damaged[matched] ? matched + 1 : chunk[i] == damaged[0] ? 1 : 0;
                    if (matched == damaged.length) {
                        chunk[i] ^= 1;
                        matched = 0;
                    }
                }
                out.write(chunk, 0, count);
            }
        } catch (IOException e) {
            // One side has left; the other is closed with it.
        }
    }

    @Override
    public void close() {
        try {
            face.close();
            for (Socket socket : sockets) {
                socket.close();
            }
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }
}
