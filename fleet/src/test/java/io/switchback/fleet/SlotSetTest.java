package io.switchback.fleet;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SlotSetTest {
    @ParameterizedTest
    @ValueSource(strings = {"0-16383", "7", "0,2,4-5", "0-5460,6000,16383"})
    void whatItsTextNamesItHas(String text) {
        SlotSet slots = SlotSet.parse(text);
        assertThat(slots).hasToString(text).isEqualTo(SlotSet.parse(text));
        for (int slot = 0; slot < Topology.SLOTS; slot++) {
            assertThat(slots.contains(slot))
                    .as("%d", slot)
                    .isEqualTo(SlotSet.parse(slot + "," + text).equals(slots));
        }
    }

    @Test
    void theyAreWalkedInOrder() {
        SlotSet slots = SlotSet.parse("3,5-6");
        assertThat(slots.first()).isEqualTo(3);
        assertThat(slots.next(4)).isEqualTo(5);
        assertThat(slots.next(7)).isEqualTo(-1);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "a", "5-3", "16384", "0-", "-1", "1,,2", "123456"})
    void whatIsNoRangeIsRefused(String text) {
        assertThatThrownBy(() -> SlotSet.parse(text)).isInstanceOf(IllegalArgumentException.class);
    }
}
