package io.switchback.ledger;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** The arithmetic of a session's lease, against a model of who hears what when. */
class TenureTest {
    private static final long TIMEOUT = 12_000;
    private static final long REPORTS_EVERY = TIMEOUT / Tenure.REPORT_DIVISOR;

    @Test
    void inASteadyRowOfWritesItHoldsForTwoThirdsAfterTheLastWasSent() {
        Tenure tenure = new Tenure(Duration.ofNanos(TIMEOUT), 0, 0);
        for (long sent = 0; sent < 20 * TIMEOUT; sent += REPORTS_EVERY) {
            tenure.confirmed(sent, sent);
            assertThat(tenure.untilNanos()).isEqualTo(sent + TIMEOUT * 2 / 3);
        }
    }

    @Test
    void aWriteAfterALongPauseCountsLittleSinceTheLeaderMayNeverHearOfIt() {
        Tenure tenure = new Tenure(Duration.ofNanos(TIMEOUT), 0, 0);
        tenure.confirmed(0, 10);
        long late = TIMEOUT * 10 / 12;
        tenure.confirmed(late, late + 1);

        assertThat(tenure.untilNanos()).isEqualTo(TIMEOUT * 11 / 12);
        tenure.confirmed(late + REPORTS_EVERY + 1, late + REPORTS_EVERY + 2);
        assertThat(tenure.untilNanos()).isEqualTo(late + TIMEOUT * 11 / 12);
    }

    @Test
    void aLostConnectionEndsItAtOnceAndOnlyAConfirmedWriteBringsItBack() {
        Tenure tenure = new Tenure(Duration.ofNanos(TIMEOUT), 0, 0);
        tenure.confirmed(100, 101);
        assertThat(tenure.holds(102)).isTrue();

        tenure.suspended(103);
        assertThat(tenure.holds(103)).isFalse();
        tenure.reconnected();
        assertThat(tenure.holds(104)).isFalse();
        tenure.confirmed(105, 106);
        assertThat(tenure.holds(107)).isTrue();
    }

    @Test
    void itIsNeverHeldWhenALeaderThatHeardAsLittleAsPossibleHasExpiredTheSession() {
        for (long seed = 0; seed < 2_000; seed++) {
            Random random = new Random(seed);
            long begun = random.nextLong();
            Tenure tenure = new Tenure(Duration.ofNanos(TIMEOUT), begun, begun);
            long now = begun + random.nextInt(100);
            // The leader hears of the beginning, and later of what was confirmed before the last ping came down.
            long heard = now;
            List<long[]> contacts = new ArrayList<>();
            for (int write = 0; write < 30; write++) {
                now += random.nextInt((int) TIMEOUT / 2);
                long sent = now;
                if (sent - heard >= TIMEOUT) {
                    break; // the session is gone
                }
                long arrived = sent + random.nextInt((int) TIMEOUT / 8);
                now = arrived + random.nextInt((int) TIMEOUT / 8);
                contacts.add(new long[] {arrived});
                for (long[] contact : contacts) {
                    if (now - contact[0] >= REPORTS_EVERY && contact[0] - heard > 0) {
                        heard = contact[0];
                    }
                }
                if (now - heard >= TIMEOUT) {
                    break;
                }
                tenure.confirmed(sent, now);
                assertThat(tenure.untilNanos() - heard)
                        .as("seed %d, write %d", seed, write)
                        .isLessThan(TIMEOUT);
            }
        }
    }
}
