package io.switchback.testkit.load;

import java.util.EnumMap;
import java.util.Map;
import java.util.Objects;

/**
 * Everything that one client was told: when, and what the server must therefore hold.
 *
 * <p>The timeline may be read at any time; the rest belongs to the client's thread until that has ended.
 */
final class ClientRecord {
    private static final int COUNTERS = 16;

    final Names names;
    final int database;
    final Timeline timeline;
    final Counters counters = new Counters(COUNTERS);
    final Lists lists = new Lists();
    private final Map<RegisterKind, Registers> registers = new EnumMap<>(RegisterKind.class);

    ClientRecord(Names names, int database, int strings, long originNanos) {
        this.names = names;
        this.database = database;
        this.timeline = new Timeline(originNanos);
        for (RegisterKind kind : RegisterKind.values()) {
            int slots = kind == RegisterKind.STRING ? strings : Math.max(1, strings / 8);
            registers.put(kind, new Registers(kind, slots));
        }
    }

    Registers registers(RegisterKind kind) {
        return Objects.requireNonNull(registers.get(kind));
    }

    long forgotten() {
        return registers.values().stream().mapToLong(Registers::forgotten).sum()
                + counters.forgotten()
                + lists.forgotten();
    }
}
