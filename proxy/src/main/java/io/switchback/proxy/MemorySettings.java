package io.switchback.proxy;

import java.time.Duration;

/**
 * Reading from memory, where a cache wants it.
 *
 * @param bytesMax of answers that are kept, over all event loops
 * @param ageMax how long an answer is given again before the fleet is asked anew; so late at most a right that was taken away is noticed
 */
public record MemorySettings(long bytesMax, Duration ageMax) {
    /** What is kept for so long cannot be far from the truth, and takes nearly all reads of a hot key off the fleet. */
    public static final Duration AGE_MAX_DEFAULT = Duration.ofSeconds(1);
}
