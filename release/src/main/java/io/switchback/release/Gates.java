package io.switchback.release;

import java.time.Duration;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * What a release must keep to while it is observed. An empty gate is switched off.
 *
 * @param artRatioMax average response time of the new fleet over that of the old one before the cutover
 * @param p99RatioMax the 99th percentile likewise
 * @param errorRateMax errors over requests, 0.001 is one in a thousand
 * @param dlpMax items lost of those that were checked
 * @param lagMax how far a link may be behind
 * @param samplesMin requests below which no ratio or rate is judged
 */
public record Gates(
        Optional<Double> artRatioMax,
        Optional<Double> p99RatioMax,
        Optional<Double> errorRateMax,
        OptionalLong dlpMax,
        Duration lagMax,
        long samplesMin) {
    /** What holds where the file says nothing. Strict, since a false alarm costs a rollback that nobody notices. */
    public static final Gates DEFAULT = new Gates(
            Optional.of(1.2), Optional.of(1.5), Optional.of(0.001), OptionalLong.of(0), Duration.ofMillis(100), 1000);
}
