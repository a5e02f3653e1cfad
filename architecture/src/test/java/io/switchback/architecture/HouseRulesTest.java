package io.switchback.architecture;

import static io.switchback.architecture.House.CLASSES;
import static org.assertj.core.api.Assertions.assertThat;

import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

class HouseRulesTest {
    /** Well under what is there: the test is against scanning next to nothing, not against removing code. */
    private static final int CLASSES_MIN = 150;

    @Test
    void everyRoomWasLookedAt() {
        assertThat(CLASSES.size()).isGreaterThan(CLASSES_MIN);
        assertThat(CLASSES.stream().map(House::room).collect(Collectors.toSet()))
                .containsAll(House.FLOORS.keySet())
                .contains(House.TESTKIT);
    }

    @Test
    void aRoomKnowsOnlyRoomsOfLowerFloors() {
        assertThat(Rules.floors(CLASSES)).isEmpty();
    }

    @Test
    void packagesDoNotKnowEachOtherInACircle() {
        assertThat(Rules.cycles(CLASSES)).isEmpty();
    }

    @Test
    void timeAndRandomnessComeThroughTheEnvironment() {
        assertThat(Rules.seam(CLASSES)).isEmpty();
    }

    @Test
    void onlyTheCommandLineWritesToTheConsole() {
        assertThat(Rules.output(CLASSES)).isEmpty();
    }

    @Test
    void loggingGoesThroughOneFacade() {
        assertThat(Rules.logging(CLASSES)).isEmpty();
    }

    @Test
    void namesSaySomething() {
        assertThat(Rules.names(CLASSES)).isEmpty();
    }

    @Test
    void everyPackageIsNullMarked() {
        assertThat(Rules.nullness(CLASSES)).isEmpty();
    }
}
