package io.switchback.release;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Environment;
import org.junit.jupiter.api.Test;

class RehearsalTest {

    @Test
    void wholeSwitchesAreMadeAndEachIsCommitted() throws Exception {
        // Each that is not throws. The first alone takes a part of the time that there is for all.
        assertThat(Rehearsal.rehearse(Environment.system())).isPositive();
    }
}
