package io.switchback.sync;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** The map of offsets against the simplest thing that can be right: a list of all boundaries. */
class SegmentMapTest {
    private record Boundary(long source, long target) {}

    @Test
    void everyBoundaryIsTheSamePointForBothSides() {
        for (long seed = 1; seed <= 200; seed++) {
            Random random = new Random(seed);
            SegmentMap map = new SegmentMap(1000, 50);
            List<Boundary> all = new ArrayList<>(List.of(new Boundary(1000, 50)));
            for (int i = 0; i < 300; i++) {
                Boundary last = all.getLast();
                long source = random.nextInt(4) == 0 ? 0 : 1 + random.nextInt(40);
                long target = random.nextBoolean() ? source : random.nextInt(60);
                long injected = random.nextInt(9) == 0 ? 100 : 0;
                if (source == target && injected == 0) {
                    map.passed(source);
                } else if (source == target) {
                    map.passedAndInjected(source, injected);
                } else {
                    map.rewrittenAndInjected(source, target, injected);
                }
                all.add(new Boundary(last.source() + source, last.target() + target + injected));
            }
            check(map, all, seed, 0);
            long trimmed = all.get(all.size() / 2).target();
            map.trim(trimmed);
            check(map, all, seed, trimmed);
        }
    }

    private static void check(SegmentMap map, List<Boundary> all, long seed, long from) {
        for (int i = 0; i < all.size(); i++) {
            Boundary boundary = all.get(i);
            if (boundary.target() < from) {
                continue;
            }
            // Of several points with one source offset, the last has everything that belongs to it.
            boolean lastOfSource = i + 1 == all.size() || all.get(i + 1).source() > boundary.source();
            if (lastOfSource) {
                assertThat(map.toTarget(boundary.source())).as("seed " + seed).isEqualTo(boundary.target());
            }
            boolean lastOfTarget = i + 1 == all.size() || all.get(i + 1).target() > boundary.target();
            if (lastOfTarget) {
                assertThat(map.toSource(boundary.target())).as("seed " + seed).isEqualTo(boundary.source());
            }
        }
        Boundary end = all.getLast();
        assertThat(map.toTarget(end.source() + 1)).isEqualTo(OffsetMap.NOT_YET);
        assertThat(map.toSource(end.target() + 1_000)).isEqualTo(end.source());
    }

    @Test
    void aTargetWithinARewrittenCommandHasNotAppliedIt() {
        SegmentMap map = new SegmentMap(0, 0);
        map.passed(10);
        map.rewritten(5, 50);
        map.passed(10);
        for (long target = 10; target < 60; target++) {
            assertThat(map.toSource(target)).isEqualTo(10);
        }
        assertThat(map.toSource(60)).isEqualTo(15);
        assertThat(map.toSource(63)).isEqualTo(18);
        assertThat(map.toTarget(12)).isEqualTo(60);
    }

    @Test
    void itGrowsAlsoWhenItsBeginningWasForgotten() {
        SegmentMap map = new SegmentMap(0, 0);
        for (int i = 1; i <= 5_000; i++) {
            map.rewritten(1, 3);
            if (i % 10 == 0) {
                map.trim(3L * (i / 2));
            }
            assertThat(map.toTarget(i)).isEqualTo(3L * i);
            assertThat(map.toTarget(i - i / 4)).isEqualTo(3L * (i - i / 4));
        }
    }

    @Test
    void whereTheTargetStandsIsNeverForgotten() {
        SegmentMap whole = new SegmentMap(0, 0);
        SegmentMap trimmed = new SegmentMap(0, 0);
        for (SegmentMap map : List.of(whole, trimmed)) {
            for (int i = 0; i < 50; i++) {
                map.rewritten(2, 3);
                map.passed(4);
            }
        }
        for (long target = 0; target <= whole.endTarget(); target++) {
            trimmed.trim(target);
            assertThat(trimmed.toSource(target)).isEqualTo(whole.toSource(target));
        }
    }

    @Test
    void itIsBoundedAndTrimmedByWhatIsApplied() {
        SegmentMap map = new SegmentMap(0, 0);
        while (!map.isFull()) {
            map.rewritten(1, 2);
        }
        map.trim(map.endTarget());
        assertThat(map.isFull()).isFalse();
        assertThat(map.toTarget(map.endSource())).isEqualTo(map.endTarget());
    }
}
