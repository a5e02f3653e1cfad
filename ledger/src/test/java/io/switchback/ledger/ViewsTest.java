package io.switchback.ledger;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.environment.Environment;
import io.switchback.ledger.Operation.Expect;
import io.switchback.ledger.Operation.ExpectAbsent;
import io.switchback.ledger.Operation.Put;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Routes, decisions and journal, on an embedded ledger. */
class ViewsTest {
    private static final Instant NOON = Instant.parse("2026-11-22T12:00:00Z");

    @TempDir
    private Path folder;

    private Ledger ledger;

    @BeforeEach
    void open() {
        ledger = EmbeddedLedger.open(folder, Environment.system());
    }

    @AfterEach
    void close() {
        ledger.close();
    }

    @Test
    void aRouteGoesFromEpochToEpochAndOnlyFromTheOneThatWasSeen() {
        Routes routes = new Routes(ledger);
        assertThat(routes.current("sessions")).isEmpty();
        assertThatThrownBy(() -> routes.next("sessions", new Route("blue", 2)))
                .isInstanceOf(LedgerException.class)
                .hasMessageContaining("is at epoch 0");

        List<Operation> first = routes.next("sessions", new Route("blue", 1));
        assertThat(ledger.transact(first)).isEqualTo(new Outcome.Done());
        List<Operation> second = routes.next("sessions", new Route("green", 2));
        List<Operation> rival = routes.next("sessions", new Route("blue", 2));
        assertThat(ledger.transact(second)).isEqualTo(new Outcome.Done());

        assertThat(ledger.transact(rival)).isInstanceOf(Outcome.Conflict.class);
        assertThat(ledger.transact(first)).isInstanceOf(Outcome.Conflict.class);
        assertThat(routes.current("sessions")).contains(new Route("green", 2));
        assertThatThrownBy(() -> routes.next("sessions", new Route("blue", 2))).isInstanceOf(LedgerException.class);
        ledger.transact(routes.next("carts", new Route("v1", 1)));
        assertThat(routes.all()).isEqualTo(Map.of("sessions", new Route("green", 2), "carts", new Route("v1", 1)));
    }

    @Test
    void aRouteThatHasChangedSinceSomebodyLookedIsNotReplaced() {
        Routes routes = new Routes(ledger);
        Routes.Found none = routes.find("sessions");
        ledger.transact(none.next(new Route("blue", 1)));
        Routes.Found blue = routes.find("sessions");
        ledger.transact(routes.next("sessions", new Route("green", 2)));

        for (Routes.Found earlier : List.of(none, blue)) {
            long epoch = earlier == none ? 1 : 2;
            assertThat(ledger.transact(earlier.next(new Route("red", epoch)))).isInstanceOf(Outcome.Conflict.class);
            assertThatThrownBy(() -> earlier.next(new Route("red", epoch + 1))).isInstanceOf(LedgerException.class);
        }
        assertThat(routes.current("sessions")).contains(new Route("green", 2));
    }

    @Test
    void aRouteThatCannotBeUnderstoodIsSaidAndNotGuessed() {
        for (String value : List.of(
                "",
                "[]",
                "{}",
                "{\"fleet\":1,\"epoch\":1}",
                "{\"fleet\":\"a\"}",
                "{\"fleet\":\"a\",\"epoch\":\"1\"}",
                "{",
                "{\"fleet\":\"a\",\"epoch\":1} x")) {
            ledger.transact(List.of(new Put("routes/c", value.getBytes(UTF_8))));

            assertThatThrownBy(() -> new Routes(ledger).current("c"))
                    .as(value)
                    .isInstanceOfSatisfying(
                            LedgerException.class, e -> assertThat(e.code()).isEqualTo(LedgerException.Code.DAMAGED))
                    .hasMessageContaining("routes/c");
        }
        ledger.transact(List.of(new Put("routes/c", "{\"fleet\":\"a\",\"epoch\":1,\"new\":true}".getBytes(UTF_8))));
        assertThat(new Routes(ledger).current("c")).contains(new Route("a", 1));
    }

    @Test
    void whoeverDecidesFirstHasDecidedAndTheOthersLearnIt() {
        Decisions decisions = new Decisions(ledger);
        Routes routes = new Routes(ledger);
        assertThat(decisions.read("r-1.1")).isEmpty();

        Decision commit = decide(decisions, Verdict.COMMIT, routes.next("c", new Route("green", 1)));
        Decision late = decide(decisions, Verdict.ABORT, List.of(new Put("never", new byte[0])));

        assertThat(commit.verdict()).isEqualTo(Verdict.COMMIT);
        assertThat(late.verdict()).isEqualTo(Verdict.COMMIT);
        assertThat(late.reason()).isEqualTo("because COMMIT");
        assertThat(new String(late.evidenceJson(), UTF_8)).isEqualTo("{\"offset\":7}");
        assertThat(decisions.read("r-1.1").orElseThrow().verdict()).isEqualTo(Verdict.COMMIT);
        assertThat(routes.current("c")).contains(new Route("green", 1));
        assertThat(ledger.read("never")).isEmpty();
    }

    @Test
    void aDecisionWhoseRouteCannotBeTakenIsNotMade() {
        Decisions decisions = new Decisions(ledger);
        ledger.transact(List.of(new Put("members", new byte[0])));

        assertThatThrownBy(() -> decide(decisions, Verdict.COMMIT, List.of(new Expect("members", 1))))
                .isInstanceOfSatisfying(
                        LedgerException.class, e -> assertThat(e.code()).isEqualTo(LedgerException.Code.CONFLICT))
                .hasMessageContaining("members is at version 0, expected 1");
        assertThat(decisions.read("r-1.1")).isEmpty();
        assertThat(decide(decisions, Verdict.ABORT, List.of()).verdict()).isEqualTo(Verdict.ABORT);
        assertThatThrownBy(() -> decide(decisions, Verdict.COMMIT, List.of(new Operation.Delete("decisions/r-1.1"))))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void aJournalIsReadAsItWasWrittenAndNumberedAcrossReopening() {
        Journal journal = new Journal(ledger);
        journal.append("r-1", entry("first", Map.of("offset", "7")));
        journal.append("r-2", entry("of another release", Map.of()));
        ledger.close();
        open();
        journal = new Journal(ledger);
        journal.append("r-1", entry("second \uD83D\uDE00 \"quoted\"", Map.of()));

        assertThat(journal.read("r-1"))
                .containsExactly(
                        new JournalEntry(1, NOON, "ann", "cutover", "first", Map.of("offset", "7")),
                        new JournalEntry(2, NOON, "ann", "cutover", "second \uD83D\uDE00 \"quoted\"", Map.of()));
        assertThat(journal.read("r-2")).hasSize(1);
        assertThat(journal.read("r-3")).isEmpty();
    }

    @Test
    void anEntryIsWrittenWithTheChangeThatItSpeaksOfOrNotAtAll() {
        Journal journal = new Journal(ledger);

        assertThat(journal.append("r", entry("moved", Map.of()), List.of(new Put("state", new byte[0]))))
                .isEqualTo(new Outcome.Done());
        assertThat(journal.append("r", entry("moved again", Map.of()), List.of(new ExpectAbsent("state"))))
                .isInstanceOf(Outcome.Conflict.class);

        assertThat(journal.read("r")).extracting(JournalEntry::what).containsExactly("moved");
    }

    @Test
    void journalsThatKnowNothingOfEachOtherLoseNoEntry() {
        Journal one = new Journal(ledger);
        Journal other = new Journal(ledger);
        for (int i = 0; i < 20; i++) {
            one.append("r", entry("one " + i, Map.of()));
            other.append("r", entry("other " + i, Map.of()));
            other.append("r", entry("other again " + i, Map.of()));
        }

        assertThat(one.read("r"))
                .extracting(JournalEntry::seq)
                .containsExactlyElementsOf(LongStream.rangeClosed(1, 60).boxed().toList());
    }

    @Test
    void aLongJournalKeepsItsBeginningAndItsEndAndTheNumbersShowTheGap() {
        Journal journal = new Journal(ledger);
        int dropped = 30;
        for (int i = 1; i <= Journal.ENTRIES_MAX + dropped; i++) {
            journal.append("r", entry("step " + i, Map.of()));
        }

        List<JournalEntry> entries = journal.read("r");
        assertThat(entries).hasSize(Journal.ENTRIES_MAX);
        assertThat(entries.get(Journal.ENTRIES_KEPT_FIRST - 1).seq()).isEqualTo(Journal.ENTRIES_KEPT_FIRST);
        assertThat(entries.get(Journal.ENTRIES_KEPT_FIRST).seq()).isEqualTo(Journal.ENTRIES_KEPT_FIRST + dropped + 1);
        assertThat(entries.getLast().what()).isEqualTo("step " + (Journal.ENTRIES_MAX + dropped));
    }

    @Test
    void anEntryThatIsTooLongIsCutAndSaysSo() {
        Journal journal = new Journal(ledger);
        // Each of these takes six bytes in JSON: the largest that an entry can become.
        String longest = "\u0001".repeat(Journal.TEXT_CHARACTERS_MAX * 2);
        Map<String, String> details = IntStream.range(0, Journal.DETAILS_MAX * 2)
                .boxed()
                .collect(Collectors.toMap(i -> i + longest, _ -> longest));
        journal.append("r", new JournalEntry(0, NOON, longest, longest, "\uD83D", details));

        JournalEntry read = journal.read("r").getFirst();
        assertThat(read.who()).hasSizeLessThan(Journal.TEXT_CHARACTERS_MAX + 20).endsWith("… (cut)");
        assertThat(read.details()).hasSize(Journal.DETAILS_MAX + 1).containsEntry("… (cut)", "20 more");
    }

    @Test
    void aNumberIsDrawnOnceByWhomeverAndTheRowGoesOnAfterReopening() throws Exception {
        assertThat(new Numbers(ledger, "switch").last()).isZero();
        try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Callable<Long>> draws = Collections.nCopies(50, () -> new Numbers(ledger, "switch").next());
            Set<Long> drawn = new HashSet<>();
            for (Future<Long> draw : threads.invokeAll(draws)) {
                drawn.add(draw.get());
            }
            assertThat(drawn)
                    .containsExactlyInAnyOrderElementsOf(
                            LongStream.rangeClosed(1, 50).boxed().toList());
        }
        ledger.close();
        open();

        assertThat(new Numbers(ledger, "switch").last()).isEqualTo(50);
        assertThat(new Numbers(ledger, "switch").next()).isEqualTo(51);
        assertThat(new Numbers(ledger, "other").next()).isEqualTo(1);
    }

    private static Decision decide(Decisions decisions, Verdict verdict, List<Operation> together) {
        return decisions.decide("r-1.1", verdict, "because " + verdict, "{\"offset\":7}".getBytes(UTF_8), together);
    }

    private static JournalEntry entry(String what, Map<String, String> details) {
        return JournalEntry.of(NOON, "ann", "cutover", what, details);
    }
}
