package io.switchback.testkit.load;

import java.time.Duration;
import java.util.List;

/** What the clients of a {@link Load} that is over remember. Immutable; {@link HistoryChecker} holds it against the servers. */
public final class LoadHistory {
    private final LoadSettings settings;
    private final List<ClientRecord> records;

    LoadHistory(LoadSettings settings, List<ClientRecord> records) {
        this.settings = settings;
        this.records = List.copyOf(records);
    }

    /** What was asked for. */
    public LoadSettings settings() {
        return settings;
    }

    /** All that was seen. */
    public LoadSnapshot total() {
        return Load.snapshot(records);
    }

    /** What all clients saw within a window of the last ten minutes. */
    public LoadWindow window(TimeWindow window) {
        return Load.window(records, window);
    }

    /** The longest pause of any client that touches none of the windows, within the last ten minutes. */
    public Duration longestPauseOutside(List<TimeWindow> windows) {
        long now = System.nanoTime();
        long micros = records.stream()
                .mapToLong(record -> record.timeline.pauseMicrosOutside(windows, now))
                .max()
                .orElse(0);
        return Duration.ofNanos(micros * 1_000);
    }

    List<ClientRecord> records() {
        return records;
    }
}
