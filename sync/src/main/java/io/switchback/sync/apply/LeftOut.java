package io.switchback.sync.apply;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * What the target could not be given, since it has nothing to hold it: how often, and of which keys. Any thread.
 *
 * <p>Bounded: {@link #KINDS_MAX} kinds with one key each as an example; the count goes on.
 */
final class LeftOut {
    static final int KINDS_MAX = 100;

    private final Map<String, Kind> kinds = new LinkedHashMap<>();

    private record Kind(long count, Key example) {}

    synchronized void add(Key key, String what) {
        Kind before = kinds.get(what);
        if (before != null) {
            kinds.put(what, new Kind(before.count() + 1, before.example()));
        } else if (kinds.size() < KINDS_MAX) {
            kinds.put(what, new Kind(1, key));
        }
    }

    synchronized void clear() {
        kinds.clear();
    }

    /** For a person; "" where nothing was left out. */
    synchronized String words() {
        return kinds.entrySet().stream()
                .map(kind -> kind.getKey() + " (" + kind.getValue().count() + " times, such as "
                        + kind.getValue().example() + ")")
                .collect(Collectors.joining("; "));
    }
}
