package io.switchback.sync.source;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.InfoReport;
import java.io.EOFException;
import java.io.IOException;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * The part of its stream that a server keeps for replicas that come again. A server to which none has ever attached keeps none and does not count what it writes, so that no link could
 * begin there at a given point.
 */
public final class Backlog {
    private static final String MARK_PREFIX = "$EOF:";
    private static final int CHUNK_BYTES = 64 * 1024;

    private Backlog() {}

    /**
     * Has a server begin to keep one, where it does not: a replica attaches, takes a copy that it throws away, and leaves. Best done while the server is empty. Blocks; the server
     * forgets it again after repl-backlog-ttl without a replica.
     *
     * @param silenceMax how long the server may say nothing meanwhile
     * @throws IOException where the server breaks off
     */
    public static void begin(FleetSpec server, Duration silenceMax) throws IOException {
        try (SourceConnection connection = SourceConnection.open(server, silenceMax)) {
            InfoReport info = connection.info();
            if (info.number("repl_backlog_active", 0) == 1) {
                return;
            }
            connection.psync("?", -1, List.of("eof", "psync2"), Optional.empty());
            String answer = line(connection);
            if (!answer.startsWith("+FULLRESYNC")) {
                throw new IOException(server.where() + " answered " + answer);
            }
            String header = line(connection);
            if (header.startsWith(MARK_PREFIX)) {
                skipTo(
                        connection.input(),
                        header.substring(MARK_PREFIX.length()).getBytes(ISO_8859_1));
            } else if (header.startsWith("$")) {
                skip(connection.input(), Long.parseLong(header.substring(1)));
            } else {
                throw new IOException(server.where() + " answered " + header);
            }
            connection.acknowledge(Long.parseLong(answer.split(" ", -1)[2]));
        }
    }

    private static String line(SourceConnection connection) throws IOException {
        String line = connection.input().readLine();
        while (line.isEmpty()) {
            line = connection.input().readLine();
        }
        return line;
    }

    private static void skip(WireInput input, long bytes) throws IOException {
        byte[] chunk = new byte[CHUNK_BYTES];
        for (long left = bytes; left > 0; ) {
            int count = input.read(chunk, (int) Math.min(chunk.length, left));
            if (count < 0) {
                throw new EOFException("the server broke off its copy");
            }
            left -= count;
        }
    }

    /** The mark ends a read: nothing follows it until the copy is acknowledged. */
    private static void skipTo(WireInput input, byte[] mark) throws IOException {
        byte[] window = new byte[mark.length + CHUNK_BYTES];
        int held = 0;
        while (held < mark.length || !Arrays.equals(window, held - mark.length, held, mark, 0, mark.length)) {
            if (held > mark.length) {
                System.arraycopy(window, held - mark.length, window, 0, mark.length);
                held = mark.length;
            }
            int count = input.read(window, held, window.length - held);
            if (count < 0) {
                throw new EOFException("the server broke off its copy");
            }
            held += count;
        }
    }
}
