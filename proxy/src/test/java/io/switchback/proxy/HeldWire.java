package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import io.switchback.fleet.Endpoint;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Stands between a proxy and a server, and keeps what the server says over some connections for as long as a test wants: over those on which the
 * proxy has sent a certain word.
 */
final class HeldWire implements AutoCloseable {
    private final ServerSocket listener;
    private final Endpoint server;
    private final String word;
    private final List<Socket> sockets = new CopyOnWriteArrayList<>();
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition goesOn = lock.newCondition();
    private boolean held;

    HeldWire(Endpoint server, String word) {
        this.server = server;
        this.word = word;
        try {
            listener = new ServerSocket(0, 64, InetAddress.getLoopbackAddress());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        Thread.ofVirtual().start(this::accept);
    }

    Endpoint endpoint() {
        return new Endpoint("127.0.0.1", listener.getLocalPort());
    }

    void hold() {
        lock.lock();
        try {
            held = true;
        } finally {
            lock.unlock();
        }
    }

    void letGo() {
        lock.lock();
        try {
            held = false;
            goesOn.signalAll();
        } finally {
            lock.unlock();
        }
    }

    private void accept() {
        try {
            while (true) {
                Socket client = listener.accept();
                Socket behind = new Socket(server.host(), server.port());
                client.setTcpNoDelay(true);
                behind.setTcpNoDelay(true);
                sockets.add(client);
                sockets.add(behind);
                boolean[] isMarked = {false};
                Thread.ofVirtual().start(() -> pass(client, behind, isMarked, true));
                Thread.ofVirtual().start(() -> pass(behind, client, isMarked, false));
            }
        } catch (IOException e) {
            // It was closed.
        }
    }

    private void pass(Socket from, Socket to, boolean[] isMarked, boolean isAsking) {
        byte[] bytes = new byte[64 * 1024];
        try (from;
                to) {
            InputStream in = from.getInputStream();
            OutputStream out = to.getOutputStream();
            for (int count = in.read(bytes); count >= 0; count = in.read(bytes)) {
                if (isAsking) {
                    mark(isMarked, new String(bytes, 0, count, ISO_8859_1));
                } else {
                    awaitTurn(isMarked);
                }
                out.write(bytes, 0, count);
            }
        } catch (IOException e) {
            // One side has closed; so does the other.
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void mark(boolean[] isMarked, String asked) {
        lock.lock();
        try {
            isMarked[0] |= asked.contains(word);
        } finally {
            lock.unlock();
        }
    }

    private void awaitTurn(boolean[] isMarked) throws InterruptedException {
        lock.lock();
        try {
            while (held && isMarked[0]) {
                goesOn.await();
            }
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void close() {
        letGo();
        try {
            listener.close();
            for (Socket socket : sockets) {
                socket.close();
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
