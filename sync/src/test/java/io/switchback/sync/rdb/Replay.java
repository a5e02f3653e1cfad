package io.switchback.sync.rdb;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.US_ASCII;

import io.switchback.fleet.ServerConnection;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/** Sends what a reader gives out to a real server, which must not refuse any of it; keeps what could not be expressed. */
final class Replay implements SnapshotSink {
    private static final int BATCH_COMMANDS = 300;
    private static final long BATCH_BYTES = 4 << 20;

    final Map<String, TreeSet<String>> inexpressible = new TreeMap<>();
    final Map<String, Long> names = new TreeMap<>();
    final Map<String, String> fieldExpiries = new TreeMap<>();
    final Set<String> keys = new TreeSet<>();
    Map<String, String> facts = Map.of();
    private final ServerConnection server;
    private final List<byte[][]> waiting = new ArrayList<>();
    private long waitingBytes;
    private int database;

    /** The target, emptied. */
    Replay(ServerConnection server) {
        this.server = server;
        server.demand("FLUSHALL");
        server.demand("SELECT", "0");
    }

    @Override
    public void source(Map<String, String> said) {
        facts = Map.copyOf(said);
    }

    @Override
    public void command(int ofDatabase, byte[] key, byte[][] words) {
        if (ofDatabase != database) {
            database = ofDatabase;
            send(CommandEncoder.bytes("SELECT", "" + ofDatabase));
        }
        keys.add(ofDatabase + "/" + new String(key, ISO_8859_1));
        names.merge(new String(words[0], US_ASCII), 1L, Long::sum);
        send(words);
    }

    @Override
    public void library(byte[] code) {
        send(new byte[][] {"FUNCTION".getBytes(US_ASCII), "LOAD".getBytes(US_ASCII), "REPLACE".getBytes(US_ASCII), code
        });
    }

    @Override
    public void inexpressible(int ofDatabase, byte[] key, String what) {
        inexpressible
                .computeIfAbsent(ofDatabase + "/" + new String(key, ISO_8859_1), of -> new TreeSet<>())
                .add(what);
    }

    @Override
    public void fieldExpires(int ofDatabase, byte[] key, byte[] field, long expiresAtMillis) {
        fieldExpiries.merge(
                ofDatabase + "/" + new String(key, ISO_8859_1),
                new String(field, ISO_8859_1) + "=" + expiresAtMillis,
                (a, b) -> a + " " + b);
    }

    private void send(byte[][] command) {
        waiting.add(command);
        for (byte[] word : command) {
            waitingBytes += word.length;
        }
        if (waiting.size() >= BATCH_COMMANDS || waitingBytes >= BATCH_BYTES) {
            finish();
        }
    }

    void finish() {
        List<Reply> replies = server.pipeline(waiting);
        for (int i = 0; i < replies.size(); i++) {
            if (replies.get(i).isError()) {
                StringBuilder command = new StringBuilder();
                for (byte[] word : waiting.get(i)) {
                    command.append(new String(word, 0, Math.min(40, word.length), ISO_8859_1))
                            .append(' ');
                }
                throw new AssertionError(command + ": " + replies.get(i).text());
            }
        }
        waiting.clear();
        waitingBytes = 0;
    }
}
