package io.switchback.release;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.fleet.FleetException;
import java.util.List;
import java.util.concurrent.BrokenBarrierException;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

final class AtOnceTest {
    @Test
    void allAreAskedAtTheSameTimeAndAnswersKeepTheirOrder() {
        CyclicBarrier all = new CyclicBarrier(3);
        List<String> answers = AtOnce.ask(List.of(1, 2, 3), number -> {
            meet(all); // nobody is answered before all are asked
            return "answer " + number;
        });
        assertThat(answers).containsExactly("answer 1", "answer 2", "answer 3");
    }

    @Test
    void aFailureIsThrownOnceNothingIsUnderWayAnyMore() {
        AtomicInteger ended = new AtomicInteger();
        CyclicBarrier all = new CyclicBarrier(3);
        assertThatThrownBy(() -> AtOnce.tell(List.of(1, 2, 3), number -> {
                    meet(all);
                    if (number < 3) {
                        ended.incrementAndGet();
                        throw new FleetException(FleetException.Code.REFUSED, "server " + number);
                    }
                    while (ended.get() < 2) {
                        Thread.onSpinWait();
                    }
                    ended.incrementAndGet();
                }))
                .isInstanceOf(FleetException.class)
                .hasMessage("server 1")
                .satisfies(e -> assertThat(e.getSuppressed())
                        .singleElement()
                        .satisfies(other -> assertThat(other).hasMessage("server 2")));
        assertThat(ended).hasValue(3);
    }

    private static void meet(CyclicBarrier all) {
        try {
            all.await(10, TimeUnit.SECONDS);
        } catch (InterruptedException | BrokenBarrierException | TimeoutException e) {
            throw new AssertionError("they were not asked at once", e);
        }
    }
}
