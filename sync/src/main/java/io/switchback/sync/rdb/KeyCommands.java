package io.switchback.sync.rdb;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/**
 * The commands that rebuild one key in pieces: elements are collected and given out as one command when enough of them are there. For one
 * thread.
 */
final class KeyCommands {
    private static final byte[] UNLINK = word("UNLINK");
    private static final byte[] PEXPIREAT = word("PEXPIREAT");

    private final SnapshotSink sink;
    private final RdbLimits limits;
    private final int database;
    private final byte[] key;
    private final List<byte[]> words = new ArrayList<>();
    private byte[] name = UNLINK;
    private int elements;
    private long bytes;
    private boolean begun;

    KeyCommands(SnapshotSink sink, RdbLimits limits, int database, byte[] key) {
        this.sink = sink;
        this.limits = limits;
        this.database = database;
        this.key = key;
    }

    static byte[] word(String text) {
        return text.getBytes(US_ASCII);
    }

    static byte[] word(long number) {
        return Long.toString(number).getBytes(US_ASCII);
    }

    int database() {
        return database;
    }

    byte[] key() {
        return key;
    }

    /** The command that collects elements from now on. */
    void collect(byte[] command) {
        name = command;
    }

    void add(byte[] element) throws IOException {
        words.add(element);
        counted(element.length);
    }

    void add(byte[] first, byte[] second) throws IOException {
        words.add(first);
        words.add(second);
        counted((long) first.length + second.length);
    }

    private void counted(long more) throws IOException {
        elements++;
        bytes += more;
        if (elements >= limits.pieceElements() || bytes >= limits.pieceBytes()) {
            flush();
        }
    }

    /** Whether all that was added has been given out. */
    boolean isFlushed() {
        return elements == 0;
    }

    void flush() throws IOException {
        if (elements > 0) {
            byte[][] command = new byte[2 + words.size()][];
            command[0] = name;
            command[1] = key;
            for (int i = 0; i < words.size(); i++) {
                command[2 + i] = words.get(i);
            }
            words.clear();
            elements = 0;
            bytes = 0;
            send(command);
        }
    }

    /** One command as it is. What was there under the key before is removed by the first. */
    void send(byte[]... command) throws IOException {
        if (!begun) {
            begun = true;
            sink.command(database, key, new byte[][] {UNLINK, key});
        }
        sink.command(database, key, command);
    }

    /** As {@link #send}, of a first command that replaces what was there. */
    void sendReplacing(byte[]... command) throws IOException {
        begun = true;
        sink.command(database, key, command);
    }

    /** Gives out what is left, and at last the time to live (-1: none): the key is whole before it may end. */
    void finish(long expiresAtMillis) throws IOException {
        flush();
        if (begun && expiresAtMillis >= 0) {
            sink.command(database, key, new byte[][] {PEXPIREAT, key, word(expiresAtMillis)});
        }
    }

    void inexpressible(String what) {
        sink.inexpressible(database, key, what);
    }

    void fieldExpires(byte[] field, long expiresAtMillis) throws IOException {
        sink.fieldExpires(database, key, field, expiresAtMillis);
    }
}
