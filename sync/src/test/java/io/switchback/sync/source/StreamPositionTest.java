package io.switchback.sync.source;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.InfoReport;
import io.switchback.resp.Reply;
import org.junit.jupiter.api.Test;

class StreamPositionTest {
    /** A server that was promoted when it had 100 bytes of history "old", and has written 50 since. */
    private static final InfoReport PROMOTED = InfoReport.parse("a", new Reply.Simple("""
                    master_replid:new
                    master_replid2:old
                    second_repl_offset:101
                    master_repl_offset:150
                    repl_backlog_active:1
                    repl_backlog_first_byte_offset:1
                    repl_backlog_histlen:150
                    """));

    @Test
    void whatWasReceivedOfTheFormerPrimaryMayNotGoPastWhatTheNextOneHasOfIt() {
        assertThat(StreamPosition.whyGone(PROMOTED, "old", 100)).isEmpty();
        assertThat(StreamPosition.whyGone(PROMOTED, "old", 101)).isPresent();
        assertThat(StreamPosition.whyAhead(PROMOTED, "old", 100)).isEmpty();
        assertThat(StreamPosition.whyAhead(PROMOTED, "old", 101))
                .hasValueSatisfying(why -> assertThat(why).contains("up to 100", "up to 101"));
        assertThat(StreamPosition.whyAhead(PROMOTED, "new", 140)).isEmpty();
    }
}
