package io.switchback.sync.rdb;

import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Rebuilds a hash whose fields may have a time to live: each HSET is followed by the times of its own fields, so that no more than one
 * piece's are held. For one thread.
 */
final class HashCommands {
    /** In place of a time: the field has none. */
    static final long NEVER = -1;

    private static final byte[] HSET = KeyCommands.word("HSET");
    private static final byte[] HPEXPIREAT = KeyCommands.word("HPEXPIREAT");
    private static final byte[] FIELDS = KeyCommands.word("FIELDS");

    private final KeyCommands commands;
    private final ValueTarget target;
    private final Map<Long, List<byte[]>> expiries = new LinkedHashMap<>();
    private long notTaken;

    HashCommands(KeyCommands commands, ValueTarget target) {
        this.commands = commands;
        this.target = target;
        commands.collect(HSET);
    }

    void add(byte[] field, byte[] value, long expiresAtMillis) throws IOException {
        if (expiresAtMillis != NEVER) {
            if (target.takesFieldExpiry(expiresAtMillis)) {
                expiries.computeIfAbsent(expiresAtMillis, at -> new ArrayList<>())
                        .add(field);
            } else {
                notTaken++;
                commands.fieldExpires(field, expiresAtMillis);
            }
        }
        commands.add(field, value);
        if (commands.isFlushed()) {
            expire();
        }
    }

    private void expire() throws IOException {
        for (Map.Entry<Long, List<byte[]>> entry : expiries.entrySet()) {
            List<byte[]> fields = entry.getValue();
            byte[][] command = new byte[5 + fields.size()][];
            command[0] = HPEXPIREAT;
            command[1] = commands.key();
            command[2] = KeyCommands.word(entry.getKey());
            command[3] = FIELDS;
            command[4] = KeyCommands.word(fields.size());
            for (int i = 0; i < fields.size(); i++) {
                command[5 + i] = fields.get(i);
            }
            commands.send(command);
        }
        expiries.clear();
    }

    void finish() throws IOException {
        commands.flush();
        expire();
        if (notTaken > 0) {
            commands.inexpressible(
                    "times to live of " + notTaken + " fields of a hash, which " + target.version() + " does not take");
        }
    }
}
