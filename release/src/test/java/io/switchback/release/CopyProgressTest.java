package io.switchback.release;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.sync.LinkStatus;
import io.switchback.sync.LinkStatus.Phase;
import io.switchback.sync.LinkStatus.Speed;
import org.junit.jupiter.api.Test;

/** What a person reads of a copy. */
class CopyProgressTest {
    private static final long MIB = 1 << 20;

    private static CopyProgress progress(Phase phase, long copied, long total, Speed speed) {
        return CopyProgress.of(new LinkStatus(phase, 0, -1, 0, 0, copied, total, "", speed));
    }

    @Test
    void theTimeThatIsLeftIsThatOfTheRestAtTheSpeedOfLately() {
        assertThat(progress(Phase.COPYING, 100, 100 + 30 * MIB, new Speed(2 * MIB, 4 * MIB, 999 * MIB)))
                .isEqualTo(new CopyProgress(
                        "100 bytes of 31457380, 2.0 MiB a second, 15 s left", 100.0 / (100 + 30 * MIB)));
    }

    @Test
    void whereNobodySaysHowMuchItWillBeTheDataInMemoryBoundIt() {
        assertThat(progress(Phase.COPYING, 10 * MIB, -1, new Speed(MIB, MIB, 40 * MIB)))
                .isEqualTo(new CopyProgress("10485760 bytes, 1.0 MiB a second, at most 30 s left", -1));
        assertThat(progress(Phase.COPYING, 50 * MIB, -1, new Speed(MIB, MIB, 40 * MIB)))
                .isEqualTo(new CopyProgress("52428800 bytes, 1.0 MiB a second", -1));
        assertThat(progress(Phase.COPYING, 50 * MIB, -1, new Speed(MIB, MIB, -1)))
                .isEqualTo(new CopyProgress("52428800 bytes, 1.0 MiB a second", -1));
    }

    @Test
    void nothingIsSaidOfASpeedThatThereIsNot() {
        assertThat(progress(Phase.WAITING_FOR_TARGET, 0, -1, Speed.NONE)).isEqualTo(new CopyProgress("0 bytes", -1));
        assertThat(progress(Phase.COPYING, 5, 10, Speed.NONE)).isEqualTo(new CopyProgress("5 bytes of 10", 0.5));
    }
}
