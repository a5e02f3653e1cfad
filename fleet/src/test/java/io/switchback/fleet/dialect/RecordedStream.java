package io.switchback.fleet.dialect;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.ServerConnection;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import io.switchback.resp.ReplyReader;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.values.Scenario;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.Socket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Attaches to a real server as a replica, runs every scenario there, and keeps what came down the stream for each. */
final class RecordedStream implements AutoCloseable {
    private static final Duration LIMIT = Duration.ofSeconds(20);
    private static final String MARKER_CHANNEL = "recorded";

    private final RealServer server;
    private final ServerConnection client;
    private final Socket socket;
    private final ReplyReader stream;
    private final Scenario.Payloads payloads;

    /** What the source answered with an error, by scenario: it does not know it. */
    final Map<Scenario, List<String>> errors = new LinkedHashMap<>();

    private final Map<Scenario, List<byte[][]>> effects = new LinkedHashMap<>();

    @SuppressWarnings("AddressSelection") // the loopback address
    RecordedStream(RealServer server) throws IOException {
        this.server = server;
        this.client = connect();
        this.socket = new Socket(server.host(), server.port());
        socket.setSoTimeout(20_000);
        InputStream in = new BufferedInputStream(socket.getInputStream());
        OutputStream out = socket.getOutputStream();
        out.write(CommandEncoder.encode("REPLCONF", "capa", "eof", "capa", "psync2"));
        readLine(in);
        // Valkey 9 writes its own form only for a replica that says it is as new.
        out.write(CommandEncoder.encode("REPLCONF", "version", "9.1.0"));
        readLine(in);
        out.write(CommandEncoder.encode("PSYNC", "?", "-1"));
        String reply = readLine(in);
        String offset = reply.split(" ", -1)[2];
        skipSnapshot(in, readLine(in));
        Thread.ofVirtual().start(() -> acknowledge(out, offset));
        this.stream = new ReplyReader(in);
        client.demand("RPUSH", "dumped", "x", "y");
        this.payloads = new Scenario.Payloads(
                ((Reply.Bulk) client.demand("DUMP", "dumped")).bytes(),
                () -> client.call("FUNCTION", "DUMP") instanceof Reply.Bulk(byte[] bytes) ? bytes : new byte[0]);
        client.demand("DEL", "dumped");
        client.demand("PUBLISH", MARKER_CHANNEL, "start");
        untilMarker("start");
        for (Scenario scenario : Scenario.all()) {
            run(scenario);
        }
    }

    /** Every scenario with the commands that its effects came as. */
    Map<Scenario, List<byte[][]>> effects() {
        return effects;
    }

    ServerConnection connect() {
        return ServerConnection.open(new Endpoint(server.host(), server.port()), Optional.empty(), LIMIT);
    }

    private static String readLine(InputStream in) throws IOException {
        StringBuilder line = new StringBuilder();
        while (true) {
            int b = in.read();
            if (b == '\n' && line.isEmpty()) {
                continue; // keepalive
            }
            if (b < 0 || b == '\n') {
                return line.toString();
            }
            if (b != '\r') {
                line.append((char) b);
            }
        }
    }

    private static void skipSnapshot(InputStream in, String header) throws IOException {
        if (!header.startsWith("$EOF:")) {
            in.skipNBytes(Long.parseLong(header.substring(1)));
            return;
        }
        byte[] mark = header.substring("$EOF:".length()).getBytes(ISO_8859_1);
        StringBuilder tail = new StringBuilder();
        while (!tail.toString().equals(new String(mark, ISO_8859_1))) {
            tail.append((char) in.read());
            if (tail.length() > mark.length) {
                tail.deleteCharAt(0);
            }
        }
    }

    /** The first acknowledgement counts only once the server has ended its child; so it is repeated. */
    private static void acknowledge(OutputStream out, String offset) {
        try {
            while (true) {
                out.write(CommandEncoder.encode("REPLCONF", "ACK", offset));
                Thread.sleep(20);
            }
        } catch (IOException e) {
            // The recording is over and its connection closed.
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void run(Scenario scenario) throws IOException {
        List<String> refused = new ArrayList<>();
        List<Thread> blocked = new ArrayList<>();
        long nowMs = System.currentTimeMillis();
        for (String text : scenario.commands()) {
            String[] words = text.split(" ", -1);
            if (words[0].equals("!SLEEP")) {
                pause(Long.parseLong(words[1])); // a time to live has to pass
                continue;
            }
            byte[][] command = scenario.words(text, "", nowMs, payloads);
            if (text.startsWith("&")) {
                blocked.add(block(command));
            } else {
                note(client.call(command), text, refused);
            }
        }
        for (Thread thread : blocked) {
            join(thread);
        }
        client.demand("PUBLISH", MARKER_CHANNEL, scenario.keyPrefix());
        effects.put(scenario, untilMarker(scenario.keyPrefix()));
        if (!refused.isEmpty()) {
            errors.put(scenario, refused);
        }
    }

    private static void note(Reply reply, String text, List<String> refused) {
        switch (reply) {
            case Reply.Failure(String message) -> refused.add(text + ": " + message);
            case Reply.Array(List<Reply> elements) -> elements.forEach(element -> note(element, text, refused));
            default -> {}
        }
    }

    private Thread block(byte[][] command) {
        Thread thread = Thread.ofVirtual().start(() -> {
            try (ServerConnection own = connect()) {
                own.call(command);
            }
        });
        Await.until(
                LIMIT,
                "a blocked client",
                () -> !thread.isAlive()
                        || client.demand("INFO", "clients").text().contains("blocked_clients:1"));
        return thread;
    }

    private List<byte[][]> untilMarker(String marker) throws IOException {
        List<byte[][]> commands = new ArrayList<>();
        while (true) {
            byte[][] command = next();
            if (Words.is(command[0], "PUBLISH")
                    && new String(command[1], ISO_8859_1).equals(MARKER_CHANNEL)
                    && new String(command[2], ISO_8859_1).equals(marker)) {
                return commands;
            }
            if (!Words.is(command[0], "PING") && !Words.is(command[0], "REPLCONF")) {
                commands.add(command);
            }
        }
    }

    private byte[][] next() throws IOException {
        Reply.Array array = (Reply.Array) stream.read();
        return array.elements().stream()
                .map(word -> ((Reply.Bulk) word).bytes())
                .toArray(byte[][]::new);
    }

    private static void pause(long ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static void join(Thread thread) {
        try {
            thread.join(LIMIT);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public void close() {
        client.close();
        try {
            socket.close();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
