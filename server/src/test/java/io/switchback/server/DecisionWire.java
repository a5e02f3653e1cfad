package io.switchback.server;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.concurrent.CountDownLatch;

/**
 * A wire between one node and a member of its ledger's ensemble that knows the node's COMMIT when it sees one: the last moment before
 * a switch is decided, and the first one after it, of a node that runs in a process of its own and knows nothing of being watched.
 *
 * <p>ZooKeeper's requests are length-prefixed frames with paths and values in the clear, so the request that creates a decision is
 * known by both.
 */
final class DecisionWire implements AutoCloseable {
    private static final int FRAME_BYTES_MAX = 4 * 1024 * 1024;

    private final ServerSocket listener;
    private final String host;
    private final int port;
    private final Runnable beforeCommit;
    private final boolean keeps;
    private final CountDownLatch arrived = new CountDownLatch(1);
    private final CountDownLatch letThrough = new CountDownLatch(1);

    /**
     * @param member host:port
     * @param beforeCommit is done when the first COMMIT arrives, before the member sees it
     * @param keeps whether the COMMIT, and all that comes after it, then waits for {@link #letThrough}
     */
    DecisionWire(String member, Runnable beforeCommit, boolean keeps) {
        int colon = member.lastIndexOf(':');
        this.host = member.substring(0, colon);
        this.port = Integer.parseInt(member.substring(colon + 1));
        this.beforeCommit = beforeCommit;
        this.keeps = keeps;
        try {
            this.listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        Thread.ofVirtual().start(this::accept);
    }

    /** Where the node finds its ledger. */
    String address() {
        return "127.0.0.1:" + listener.getLocalPort();
    }

    /** Whether a COMMIT has arrived and what was to be done before it is done. */
    boolean hasArrived() {
        return arrived.getCount() == 0;
    }

    void letThrough() {
        letThrough.countDown();
    }

    private void accept() {
        try {
            while (true) {
                Socket node = listener.accept();
                Socket member = new Socket(host, port);
                member.setTcpNoDelay(true);
                node.setTcpNoDelay(true);
                Thread.ofVirtual().start(() -> passRequests(node, member));
                Thread.ofVirtual().start(() -> passAnswers(member, node));
            }
        } catch (IOException e) {
            // closed
        }
    }

    private void passRequests(Socket node, Socket member) {
        try (node;
                member) {
            DataInputStream in = new DataInputStream(node.getInputStream());
            DataOutputStream out = new DataOutputStream(new BufferedOutputStream(member.getOutputStream()));
            while (true) {
                int length = in.readInt();
                if (length < 0 || length > FRAME_BYTES_MAX) {
                    throw new IOException("a frame of " + length + " bytes");
                }
                byte[] frame = in.readNBytes(length);
                if (!hasArrived() && isCommit(frame)) {
                    beforeCommit.run();
                    arrived.countDown();
                    if (keeps) {
                        letThrough.await();
                    }
                }
                out.writeInt(length);
                out.write(frame);
                out.flush();
            }
        } catch (IOException e) {
            // Either end has gone, and the other one goes with it.
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static boolean isCommit(byte[] frame) {
        String text = new String(frame, ISO_8859_1);
        return text.contains("/decisions/") && text.contains("\"verdict\":\"COMMIT\"");
    }

    private static void passAnswers(Socket member, Socket node) {
        try (node;
                member;
                InputStream in = member.getInputStream()) {
            in.transferTo(node.getOutputStream());
        } catch (IOException e) {
            // Either end has gone, and the other one goes with it.
        }
    }

    @Override
    public void close() {
        letThrough();
        try {
            listener.close();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
