package io.switchback.fleet.dialect;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import io.switchback.resp.ReplyReader;
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The primary of a real server: hands it an empty data set and then the given commands, as a stream. */
final class StreamPrimary implements AutoCloseable {
    private final ServerSocket listener;
    private final byte[] stream;
    private final Thread thread;
    private volatile @Nullable Socket accepted;

    StreamPrimary(List<byte[][]> commands) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        commands.forEach(command -> CommandEncoder.encode(bytes, command));
        this.stream = bytes.toByteArray();
        this.listener = new ServerSocket(0, 4, InetAddress.getLoopbackAddress());
        this.thread = Thread.ofVirtual().start(this::serve);
    }

    int port() {
        return listener.getLocalPort();
    }

    /** The target's replication offset once it has applied everything. */
    long endOffset() {
        return stream.length;
    }

    private void serve() {
        try (Socket socket = listener.accept()) {
            accepted = socket;
            ReplyReader commands = new ReplyReader(new BufferedInputStream(socket.getInputStream()));
            OutputStream out = socket.getOutputStream();
            while (true) {
                List<Reply> command = ((Reply.Array) commands.read()).elements();
                switch (command.getFirst().text()) {
                    case "PING" -> out.write("+PONG\r\n".getBytes(ISO_8859_1));
                    case "PSYNC" -> {
                        // The checksum 0 says that none was computed.
                        out.write(("+FULLRESYNC " + "a".repeat(40) + " 0\r\n$18\r\nREDIS0009").getBytes(ISO_8859_1));
                        out.write(0xff);
                        out.write(new byte[8]);
                        out.write(stream);
                        out.flush();
                    }
                    case "REPLCONF" -> {
                        if (!command.get(1).text().equals("ACK")) { // which takes no answer
                            out.write("+OK\r\n".getBytes(ISO_8859_1));
                        }
                    }
                    default -> out.write("-ERR unknown\r\n".getBytes(ISO_8859_1));
                }
            }
        } catch (IOException e) {
            // The target has gone, or the test is over.
        }
    }

    @Override
    public void close() {
        try {
            listener.close();
            Socket socket = accepted;
            if (socket != null) {
                socket.close();
            }
            thread.join(java.time.Duration.ofSeconds(10));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
