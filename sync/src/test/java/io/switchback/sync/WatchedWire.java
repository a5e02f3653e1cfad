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

/** Stands before a server, and does something wherever one side sends a word, whose first letter is nowhere else in it. */
final class WatchedWire implements AutoCloseable {
    private final Endpoint server;
    private final Watch ofClients;
    private final Watch ofServer;
    private final ServerSocket face = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    private final List<Socket> sockets = new CopyOnWriteArrayList<>();

    private record Watch(byte[] word, Found found) {}

    /** Told of the word's last byte before it is passed on. */
    private interface Found {
        void at(byte[] chunk, int index);
    }

    private WatchedWire(Endpoint server, Watch ofClients, Watch ofServer) throws IOException {
        this.server = server;
        this.ofClients = ofClients;
        this.ofServer = ofServer;
        Thread.ofVirtual().start(this::accept);
    }

    /** Changes the last byte of a word that the server sends. */
    static WatchedWire damaging(Endpoint server, String word) throws IOException {
        return new WatchedWire(
                server, nothing(), new Watch(word.getBytes(US_ASCII), (chunk, index) -> chunk[index] ^= 1));
    }

    /** Does something before it passes on the end of a word that a client sends. */
    static WatchedWire before(Endpoint server, String word, Runnable action) throws IOException {
        return new WatchedWire(server, new Watch(word.getBytes(US_ASCII), (chunk, index) -> action.run()), nothing());
    }

    private static Watch nothing() {
        return new Watch(new byte[0], (chunk, index) -> {});
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
                Thread.ofVirtual().start(() -> pass(client, behind, ofClients));
                Thread.ofVirtual().start(() -> pass(behind, client, ofServer));
            }
        } catch (IOException e) {
            close();
        }
    }

    private static void pass(Socket from, Socket to, Watch watch) {
        byte[] word = watch.word();
        byte[] chunk = new byte[64 * 1024];
        int matched = 0;
        try (from;
                to) {
            InputStream in = from.getInputStream();
            OutputStream out = to.getOutputStream();
            for (int count = in.read(chunk); count >= 0; count = in.read(chunk)) {
                for (int i = 0; i < count && word.length > 0; i++) {
                    matched = chunk[i] == word[matched] ? matched + 1 : chunk[i] == word[0] ? 1 : 0;
                    if (matched == word.length) {
                        watch.found().at(chunk, i);
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
