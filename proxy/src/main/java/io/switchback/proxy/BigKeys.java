package io.switchback.proxy;

import io.switchback.resp.CommandRule;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * The keys with the largest commands and replies that have passed lately; no more than {@link #KEYS_MAX}, of which the smallest goes first, and each no longer than
 * {@link #KEPT_NANOS} after it was last seen to be large.
 *
 * <p>Owned by one event loop.
 */
final class BigKeys {
    /** What is smaller is not large. */
    static final long BYTES_MIN = 16 * 1024;

    static final int KEYS_MAX = 256;
    static final long KEPT_NANOS = TimeUnit.MINUTES.toNanos(10);

    /** The largest command or reply about one key. */
    record Seen(KeyName key, CommandRule command, long bytes, long largestAtNanos, long lastAtNanos) {}

    private final Map<KeyName, Seen> keys = new HashMap<>();

    /** A command that names this key alone, or the reply to it, has so many bytes. */
    void saw(KeyName key, CommandRule command, long bytes, long now) {
        if (bytes < BYTES_MIN) {
            return;
        }
        Seen before = keys.get(key);
        boolean isLess = before != null && before.bytes > bytes && now - before.largestAtNanos < KEPT_NANOS;
        if (before != null && isLess) {
            keys.put(key, new Seen(key, before.command, before.bytes, before.largestAtNanos, now));
            return;
        }
        if (before == null && keys.size() == KEYS_MAX && !makeRoom(bytes, now)) {
            return;
        }
        keys.put(key, new Seen(key, command, bytes, now, now));
    }

    private boolean makeRoom(long bytes, long now) {
        forgetOld(now);
        if (keys.size() < KEYS_MAX) {
            return true;
        }
        Seen smallest = null;
        for (Seen one : keys.values()) {
            smallest = smaller(smallest, one);
        }
        if (smallest == null || smallest.bytes >= bytes) {
            return false;
        }
        keys.remove(smallest.key);
        return true;
    }

    private static Seen smaller(@Nullable Seen a, Seen b) {
        return a == null || b.bytes < a.bytes ? b : a;
    }

    private void forgetOld(long now) {
        keys.values().removeIf(one -> now - one.lastAtNanos > KEPT_NANOS);
    }

    List<Seen> seen(long now) {
        forgetOld(now);
        return List.copyOf(keys.values());
    }
}
