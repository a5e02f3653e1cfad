package io.switchback.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Up to when a replica has everything, against a list of all that was seen. */
class PrimaryOffsetsTest {
    private record Sample(long offset, long atNanos) {}

    @Test
    void aReplicaHasAllUntilTheLastMomentAtWhichItsPrimaryStoodNoFurther() {
        PrimaryOffsets offsets = new PrimaryOffsets();
        assertThat(offsets.hasAllUntil(Long.MAX_VALUE)).isEmpty();
        assertThat(offsets.last()).isEmpty();
        offsets.seen(100, 1);
        offsets.seen(100, 2);
        offsets.seen(200, 3);
        assertThat(offsets.hasAllUntil(99)).isEmpty();
        assertThat(offsets.hasAllUntil(100)).hasValue(2);
        assertThat(offsets.hasAllUntil(199)).hasValue(2);
        assertThat(offsets.hasAllUntil(200)).hasValue(3);
        assertThat(offsets.hasAllUntil(1_000)).hasValue(3);
        assertThat(offsets.last()).hasValue(200);
    }

    @Test
    void aSmallerOffsetIsAnotherHistory() {
        PrimaryOffsets offsets = new PrimaryOffsets();
        offsets.seen(100, 1);
        offsets.seen(10, 2);
        assertThat(offsets.hasAllUntil(9)).isEmpty();
        assertThat(offsets.hasAllUntil(50)).hasValue(2);
        offsets.forget();
        assertThat(offsets.hasAllUntil(50)).isEmpty();
    }

    @Test
    void whatIsForgottenMakesAMomentEarlierAndNeverLater() {
        Random random = new Random(11);
        PrimaryOffsets offsets = new PrimaryOffsets();
        List<Sample> all = new ArrayList<>();
        long offset = 0;
        for (int at = 0; at < 10 * PrimaryOffsets.SAMPLES_MAX; at++) {
            offset += random.nextInt(3);
            all.add(new Sample(offset, at));
            offsets.seen(offset, at);
            long asked = random.nextLong(offset + 1);
            long exact = all.stream()
                    .filter(sample -> sample.offset() <= asked)
                    .mapToLong(Sample::atNanos)
                    .max()
                    .orElse(-1);
            OptionalLong known = offsets.hasAllUntil(asked);
            assertThat(known.orElse(-1)).as("at %s, asked for %s", at, asked).isLessThanOrEqualTo(exact);
        }
        assertThat(offsets.hasAllUntil(offset)).hasValue(10 * PrimaryOffsets.SAMPLES_MAX - 1);
    }
}
