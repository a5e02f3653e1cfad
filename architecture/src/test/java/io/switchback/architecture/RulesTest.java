package io.switchback.architecture;

import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import io.switchback.architecture.broken.BrokenManager;
import java.util.List;
import org.junit.jupiter.api.Test;

/** The rules bite: held against a class that breaks them, each names what it broke. */
class RulesTest {
    private static final JavaClasses BROKEN =
            new ClassFileImporter().importPackages("io.switchback.architecture.broken", "io.switchback.resp.broken");

    @Test
    void aRoomWithoutAFloorIsNamed() {
        assertThat(Rules.floors(BROKEN)).anyMatch(text -> text.contains("the room architecture has no floor"));
    }

    @Test
    void aRoomThatKnowsAHigherOneOrOneBesideItIsNamed() {
        assertThat(Rules.floors(BROKEN))
                .anyMatch(text -> text.contains("uses io.switchback.fleet.Endpoint: floor 1 does not know floor 2"))
                .anyMatch(text ->
                        text.contains("uses io.switchback.config.ConfigException: floor 1 does not know floor 1"));
    }

    @Test
    void aDependencyOnTheTestkitIsNamed() {
        assertThat(Rules.floors(BROKEN)).anyMatch(text -> text.contains("only the demo may use the testkit"));
    }

    @Test
    void aCircleIsNamed() {
        assertThat(Rules.cycles(BROKEN))
                .singleElement()
                .asString()
                .contains("io.switchback.architecture.broken, io.switchback.architecture.broken.inner");
    }

    @Test
    void everyWayAroundTheEnvironmentIsNamed() {
        List<String> found = Rules.seam(BROKEN);
        assertThat(found).hasSize(BrokenManager.WAYS_AROUND_THE_ENVIRONMENT);
        assertThat(found).allMatch(text -> text.contains("BrokenManager"));
    }

    @Test
    void outputIsNamed() {
        assertThat(Rules.output(BROKEN)).hasSize(2);
    }

    @Test
    void loggingIsNamed() {
        assertThat(Rules.logging(BROKEN)).isNotEmpty();
    }

    @Test
    void vagueNamesAndAccessorsWithGetAreNamed() {
        assertThat(Rules.names(BROKEN)).hasSize(2).allMatch(text -> text.contains("BrokenManager"));
    }

    @Test
    void packagesWithoutNullMarkedAreNamed() {
        assertThat(Rules.nullness(BROKEN)).singleElement().asString().contains("broken.inner");
    }
}
