package io.switchback.commit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.commit.CommitSimulation.LawBroken;
import io.switchback.commit.CommitSimulation.RegisterRule;
import io.switchback.commit.CommitSimulation.Scenario;
import io.switchback.commit.CommitSimulation.Setting;
import io.switchback.commit.CommitSimulation.TakeOver;
import io.switchback.ledger.Verdict;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

/**
 * What three-phase commit cannot do without a decision register: a partition, at the wrong moment, and it ends in two ways. The run that
 * docs/commit.md shows is this one.
 */
class ThreePhaseAloneTest {
    private static final Path DOCUMENT = Path.of("..", "docs", "commit.md");
    private static final Pattern TRACE =
            Pattern.compile("<!-- trace: seed (\\d+) -->\n```\n(.*?)\n```\n", Pattern.DOTALL);
    private static final int SEEDS = 500;

    @Test
    void aPartitionEndsItInTwoWaysAndTheRegisterDoesNotLetIt() {
        List<Long> parted = LongStream.rangeClosed(1, SEEDS)
                .boxed()
                .filter(seed -> partsWays(simulation(seed, RegisterRule.NONE)))
                .toList();

        assertThat(parted).hasSizeGreaterThan(SEEDS / 10);
        Set<Verdict> ends = EnumSet.noneOf(Verdict.class);
        for (long seed : parted) {
            CommitSimulation withTheRegister = simulation(seed, RegisterRule.WRITE_ONCE);
            withTheRegister.run();
            assertThat(withTheRegister.verdicts()).as("seed %s", seed).hasSize(1);
            ends.addAll(withTheRegister.verdicts());
        }
        // Who is cut off cannot reach the register and waits, so it is the others' verdict.
        assertThat(ends).containsExactly(Verdict.COMMIT);
    }

    @Test
    void theDocumentShowsARunThatPartsWays() throws IOException {
        Matcher written = TRACE.matcher(Files.readString(DOCUMENT));
        assertThat(written.find())
                .as("docs/commit.md shows a run, such as\n%s", shortest())
                .isTrue();
        long seed = Long.parseLong(written.group(1));
        CommitSimulation alone = simulation(seed, RegisterRule.NONE);

        assertThatThrownBy(alone::run).isInstanceOf(LawBroken.class).hasMessageContaining("ended in two ways");
        assertThat(written.group(2))
                .as("the run of seed %s in docs/commit.md", seed)
                .isEqualTo(alone.trace());
    }

    @Test
    void theDocumentShowsTheSameScheduleWithTheRegister() throws IOException {
        String document = Files.readString(DOCUMENT);
        Matcher written = TRACE.matcher(document);
        assertThat(written.find()).isTrue();
        long seed = Long.parseLong(written.group(1));
        CommitSimulation together = simulation(seed, RegisterRule.WRITE_ONCE);
        together.run();

        assertThat(together.verdicts()).hasSize(1);
        assertThat(written.find()).isTrue();
        assertThat(written.group(1)).isEqualTo(String.valueOf(seed));
        assertThat(written.group(2))
                .as("the run of seed %s with the register in docs/commit.md", seed)
                .isEqualTo(together.trace());
    }

    /** A run to be shown: two verdicts because of the partition, in few lines. */
    private static String shortest() {
        return LongStream.rangeClosed(1, SEEDS)
                .boxed()
                .flatMap(seed -> shown(seed).stream())
                .min(Comparator.comparingLong(text -> text.lines().count()))
                .orElse("none");
    }

    private static Optional<String> shown(long seed) {
        CommitSimulation alone = simulation(seed, RegisterRule.NONE);
        if (!partsWays(alone) || alone.verdicts().size() < 2 || !alone.trace().contains("parted")) {
            return Optional.empty();
        }
        CommitSimulation together = simulation(seed, RegisterRule.WRITE_ONCE);
        together.run();
        return Optional.of("seed " + seed + "\n" + alone.trace() + "\n\n" + together.trace());
    }

    /** Somebody applies one verdict and somebody the other, or is told the other later. */
    private static boolean partsWays(CommitSimulation simulation) {
        try {
            simulation.run();
            return false;
        } catch (LawBroken | ProtocolViolation broken) {
            return true;
        }
    }

    private static CommitSimulation simulation(long seed, RegisterRule rule) {
        return new CommitSimulation(
                seed,
                new Setting(Protocol.THREE_PHASE, Scenario.PARTITION, rule, TakeOver.FROM_THE_LOG),
                Coordinator::next,
                Participant::next);
    }
}
