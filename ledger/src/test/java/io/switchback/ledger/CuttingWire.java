package io.switchback.ledger;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.concurrent.atomic.AtomicBoolean;

/** A wire to a server, which can lose an answer: the server has done what it was asked, and nobody hears of it. */
final class CuttingWire implements AutoCloseable {
    private final int port;
    private final ServerSocket listener;
    private final AtomicBoolean cutting = new AtomicBoolean();

    CuttingWire(int port) throws IOException {
        this.port = port;
        this.listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        Thread.ofVirtual().start(this::accept);
    }

    String address() {
        return "127.0.0.1:" + listener.getLocalPort();
    }

    /** Instead of passing on the next answer, both ends are closed. */
    void cutTheNextAnswer() {
        cutting.set(true);
    }

    private void accept() {
        try {
            while (true) {
                Socket client = listener.accept();
                Socket server = new Socket(InetAddress.getLoopbackAddress(), port);
                Thread.ofVirtual().start(() -> pass(client, server, false));
                Thread.ofVirtual().start(() -> pass(server, client, true));
            }
        } catch (IOException e) {
            // closed
        }
    }

    private void pass(Socket from, Socket to, boolean answers) {
        byte[] buffer = new byte[1 << 16];
        try (from;
                to) {
            InputStream in = from.getInputStream();
            OutputStream out = to.getOutputStream();
            for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
                if (answers && cutting.getAndSet(false)) {
                    return;
                }
                out.write(buffer, 0, read);
            }
        } catch (IOException e) {
            // Either end has gone, and the other one goes with it.
        }
    }

    @Override
    public void close() throws IOException {
        listener.close();
    }
}
