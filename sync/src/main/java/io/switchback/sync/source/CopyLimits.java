package io.switchback.sync.source;

import java.time.Duration;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * How fast a link may copy its source. Each limit holds by itself.
 *
 * @param bytesPerSecond of the snapshot, at least {@link #BYTES_PER_SECOND_MIN}
 * @param keysPerSecond  of the snapshot, where the link reads it (a relay does not), at least {@link #KEYS_PER_SECOND_MIN}
 * @param sourceLatency  what a PING to the source may take while it is copied; longer, and the copy slows down
 */
public record CopyLimits(OptionalLong bytesPerSecond, OptionalLong keysPerSecond, Optional<Duration> sourceLatency) {
    /** Slower, and whoever writes the snapshot would take the link for dead: what lies in the sockets' buffers is read within its repl-timeout. */
    public static final long BYTES_PER_SECOND_MIN = 1L << 20;

    /** Slower, and a source with short keys would, likewise. */
    public static final long KEYS_PER_SECOND_MIN = 1_000;

    /** As fast as both servers can. */
    public static final CopyLimits NONE = new CopyLimits(OptionalLong.empty(), OptionalLong.empty(), Optional.empty());

    public CopyLimits {
        if (bytesPerSecond.isPresent() && bytesPerSecond.getAsLong() < BYTES_PER_SECOND_MIN) {
            throw new IllegalArgumentException("a copy of " + bytesPerSecond.getAsLong() + " bytes a second is slower"
                    + " than " + BYTES_PER_SECOND_MIN);
        }
        if (keysPerSecond.isPresent() && keysPerSecond.getAsLong() < KEYS_PER_SECOND_MIN) {
            throw new IllegalArgumentException(
                    "a copy of " + keysPerSecond.getAsLong() + " keys a second is slower than " + KEYS_PER_SECOND_MIN);
        }
    }
}
