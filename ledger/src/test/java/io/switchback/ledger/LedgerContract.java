package io.switchback.ledger;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.ledger.Operation.Create;
import io.switchback.ledger.Operation.Delete;
import io.switchback.ledger.Operation.Expect;
import io.switchback.ledger.Operation.ExpectAbsent;
import io.switchback.ledger.Operation.Put;
import io.switchback.ledger.Operation.Replace;
import io.switchback.ledger.Outcome.Conflict;
import io.switchback.ledger.Outcome.Done;
import io.switchback.testkit.Await;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What every ledger promises, whatever it is made of. A subclass opens an empty one. */
abstract class LedgerContract {
    private static final int THREADS = 16;

    protected Ledger ledger;

    /** An empty ledger; the contract closes it. */
    protected abstract Ledger open() throws Exception;

    @BeforeEach
    void openLedger() throws Exception {
        ledger = open();
    }

    @AfterEach
    void closeLedger() {
        ledger.close();
    }

    @Test
    void whatWasCreatedIsReadAtVersionZero() {
        assertThat(transact(new Create("a/b", bytes("x")))).isEqualTo(new Done());

        assertThat(ledger.read("a/b")).contains(new Entry("a/b", bytes("x"), 0));
        assertThat(ledger.read("a")).isEmpty();
        assertThat(ledger.read("a/b/c")).isEmpty();
    }

    @Test
    void everyChangeOfAnEntryMakesItsVersionOneMore() {
        transact(new Create("a", bytes("0")));
        transact(new Put("a", bytes("1")));
        transact(new Replace("a", bytes("2"), 1));

        assertThat(ledger.read("a")).contains(new Entry("a", bytes("2"), 2));
    }

    @Test
    void anEmptyValueIsAValue() {
        transact(new Create("a", new byte[0]));

        assertThat(ledger.read("a")).contains(new Entry("a", new byte[0], 0));
    }

    @Test
    void putCreatesWhatIsNotThere() {
        transact(new Put("a", bytes("1")));

        assertThat(ledger.read("a")).contains(new Entry("a", bytes("1"), 0));
    }

    @Test
    void whatWasDeletedIsGoneAndCanBeCreatedAgain() {
        transact(new Create("a", bytes("1")));
        transact(new Put("a", bytes("2")));
        assertThat(transact(new Delete("a"))).isEqualTo(new Done());
        assertThat(ledger.read("a")).isEmpty();

        assertThat(transact(new Create("a", bytes("3")))).isEqualTo(new Done());
        assertThat(ledger.read("a")).contains(new Entry("a", bytes("3"), 0));
    }

    @Test
    void anOperationThatDoesNotFindWhatItNeedsIsNamedAndNothingIsChanged() {
        transact(new Create("there", bytes("x")), new Put("there", bytes("y")));
        List<Operation> conflicting = List.of(
                new Create("there", bytes("z")),
                new ExpectAbsent("there"),
                new Replace("there", bytes("z"), 0),
                new Replace("there", bytes("z"), -1),
                new Replace("there", bytes("z"), 1L << 32 | 1),
                new Replace("absent", bytes("z"), 0),
                new Expect("there", 0),
                new Expect("there", -1),
                new Expect("absent", 0),
                new Delete("absent"));

        for (Operation operation : conflicting) {
            Outcome outcome = transact(new Put("before", bytes("1")), operation, new Put("after", bytes("1")));

            assertThat(outcome).isInstanceOfSatisfying(Conflict.class, conflict -> {
                assertThat(conflict.failed()).isEqualTo(operation);
                assertThat(conflict.why()).contains(operation.path());
            });
            assertThat(ledger.read("before")).isEmpty();
            assertThat(ledger.read("after")).isEmpty();
            assertThat(ledger.read("there")).contains(new Entry("there", bytes("y"), 1));
        }
    }

    @Test
    void expectationsThatHoldChangeNothing() {
        transact(new Create("a", bytes("x")));

        assertThat(transact(new Expect("a", 0), new ExpectAbsent("b"))).isEqualTo(new Done());
        assertThat(transact()).isEqualTo(new Done());
        assertThat(ledger.read("a")).contains(new Entry("a", bytes("x"), 0));
    }

    @Test
    void theOperationsOfATransactionSeeWhatThoseBeforeThemDid() {
        assertThat(transact(
                        new Create("a", bytes("1")),
                        new Replace("a", bytes("2"), 0),
                        new Expect("a", 1),
                        new Delete("a"),
                        new ExpectAbsent("a"),
                        new Create("a", bytes("3"))))
                .isEqualTo(new Done());

        assertThat(ledger.read("a").map(Entry::text)).contains("3");
    }

    @Test
    void aListHoldsEverythingBelowAPrefixInOrderAndNothingBeside() {
        transact(
                new Put("a/b/c", bytes("1")),
                new Put("a/b", bytes("2")),
                new Put("a/b-1", bytes("3")),
                new Put("a.b", bytes("4")),
                new Put("a0", bytes("5")),
                new Put("a", bytes("6")),
                new Put("a/00000000000000000010", bytes("7")),
                new Put("a/00000000000000000009", bytes("8")));

        assertThat(ledger.list("a"))
                .extracting(Entry::path)
                .containsExactly("a/00000000000000000009", "a/00000000000000000010", "a/b", "a/b-1", "a/b/c");
        assertThat(ledger.list("a/b")).extracting(Entry::path).containsExactly("a/b/c");
        assertThat(ledger.list("nothing")).isEmpty();
    }

    @Test
    void neitherTheCallersArraysNorTheOnesGivenOutReachTheLedger() {
        byte[] mine = bytes("x");
        transact(new Create("a", mine));
        mine[0] = 'y';
        ledger.read("a").orElseThrow().value()[0] = 'z';
        ledger.list("a").forEach(entry -> entry.value()[0] = 'z');

        assertThat(ledger.read("a").map(Entry::text)).contains("x");
    }

    @Test
    void whatPassesALimitIsRefusedAndNothingIsChanged() {
        byte[] largest = new byte[Ledger.VALUE_BYTES_MAX];
        refused(() -> transact(new Put("ok", bytes("x")), new Put("a", new byte[Ledger.VALUE_BYTES_MAX + 1])));
        refused(() ->
                transact(new Put("a", largest), new Put("b", largest), new Put("c", largest), new Put("d", largest)));
        refused(() -> transact(new Put("p".repeat(Ledger.PATH_CHARACTERS_MAX + 1), bytes("x"))));
        refused(() ->
                ledger.transact(Collections.nCopies(Ledger.TRANSACTION_OPERATIONS_MAX + 1, new Put("a", bytes("x")))));
        assertThat(ledger.list("ok")).isEmpty();
        assertThat(ledger.read("a")).isEmpty();

        String longest = "p".repeat(Ledger.PATH_CHARACTERS_MAX);
        assertThat(transact(new Put(longest, largest), new Put("b", largest), new Put("c", largest)))
                .isEqualTo(new Done());
        assertThat(ledger.read(longest)).contains(new Entry(longest, largest, 0));
        assertThat(ledger.transact(IntStream.range(0, Ledger.TRANSACTION_OPERATIONS_MAX)
                        .<Operation>mapToObj(i -> new Put("many/" + i, bytes("x")))
                        .toList()))
                .isEqualTo(new Done());
        assertThat(ledger.list("many")).hasSize(Ledger.TRANSACTION_OPERATIONS_MAX);
    }

    @Test
    void whatIsNoPathIsRefused() {
        for (String path : List.of("", "/", "/a", "a/", "a//b", "a b", "ä", ".", "..", "a/..", "a/./b", "a\n", "a\0")) {
            assertThatThrownBy(() -> transact(new Put(path, bytes("x"))))
                    .as(path)
                    .isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> ledger.read(path)).as(path).isInstanceOf(IllegalArgumentException.class);
        }
    }

    @Test
    void ofManyWhoCreateTheSameEntryAtOnceExactlyOneSucceeds() throws Exception {
        for (int round = 0; round < 10; round++) {
            String path = "decision/" + round;
            List<Outcome> outcomes = inThreads(
                    i -> transact(new Create(path, bytes("by " + i)), new Put(path + "/by-" + i, bytes("x"))));

            assertThat(outcomes.stream().filter(Done.class::isInstance)).hasSize(1);
            assertThat(ledger.read(path).map(Entry::text)).contains("by " + outcomes.indexOf(new Done()));
            assertThat(ledger.list(path)).hasSize(1);
        }
    }

    @Test
    void ofManyWhoPutTheSameEntryAtOnceNobodyIsRefused() throws Exception {
        for (int round = 0; round < 5; round++) {
            String path = "put/in/" + round;
            List<Outcome> outcomes = inThreads(i -> transact(new Put(path, bytes("by " + i))));

            assertThat(outcomes).allMatch(Done.class::isInstance);
            assertThat(ledger.read(path).map(Entry::version)).contains(THREADS - 1L);
        }
    }

    @Test
    void ofManyWhoCountTogetherByReplacingNoStepIsLostAndNoneIsTakenTwice() throws Exception {
        long steps = 20;
        transact(new Create("counter", bytes("0")));
        inThreads(i -> {
            for (int step = 0; step < steps; ) {
                Entry now = ledger.read("counter").orElseThrow();
                String next = Integer.toString(Integer.parseInt(now.text()) + 1);
                if (transact(new Replace("counter", bytes(next), now.version())) instanceof Done) {
                    step++;
                }
            }
            return i;
        });

        assertThat(ledger.read("counter"))
                .contains(new Entry("counter", bytes(Long.toString(THREADS * steps)), THREADS * steps));
    }

    @Test
    @SuppressWarnings("ThreadPriorityCheck") // yielding is what lets the others run at all
    void aReaderNeverSeesHalfATransaction() throws Exception {
        int writers = 2;
        transact(all("0"));
        AtomicInteger writing = new AtomicInteger(writers);
        inThreads(i -> {
            if (i < writers) {
                for (int step = 0; step < 100; step++) {
                    transact(all(i + "-" + step));
                }
                return writing.decrementAndGet();
            }
            do {
                assertThat(ledger.list("all").stream().map(Entry::text).distinct())
                        .hasSize(1);
                // Virtual threads are not taken off their carriers: without this, readers alone could run for ever.
                Thread.yield();
            } while (writing.get() > 0);
            return 0;
        });
    }

    private static Operation[] all(String value) {
        return IntStream.range(0, Ledger.TRANSACTION_OPERATIONS_MAX)
                .mapToObj(i -> new Put("all/" + i, bytes(value)))
                .toArray(Operation[]::new);
    }

    @Test
    void anInterruptedThreadFindsTheLedgerWholeAndStaysInterrupted() {
        Thread.currentThread().interrupt();
        transact(new Put("a", bytes("1")));
        assertThat(Thread.interrupted()).isTrue();

        transact(new Put("b", bytes("2")));
        assertThat(ledger.read("a")).isPresent();
        assertThat(ledger.read("b")).isPresent();
    }

    @Test
    void aClosedLedgerSaysSo() {
        ledger.close();
        ledger.close();

        assertThatThrownBy(() -> ledger.read("a"))
                .isInstanceOfSatisfying(
                        LedgerException.class, e -> assertThat(e.code()).isEqualTo(LedgerException.Code.CLOSED));
        assertThatThrownBy(() -> transact(new Put("a", bytes("x"))))
                .isInstanceOfSatisfying(
                        LedgerException.class, e -> assertThat(e.code()).isEqualTo(LedgerException.Code.CLOSED));
    }

    @Test
    void whatIsDoneIsReadAfterCatchingUp() {
        transact(new Put("a", bytes("1")));
        ledger.catchUp();

        assertThat(ledger.read("a").map(Entry::text)).contains("1");
    }

    @Test
    void aLedgerHasOneIdForEver() {
        String id = ledger.id();
        transact(new Put("a", bytes("1")));

        assertThat(id).matches("[0-9a-f]{32}");
        assertThat(ledger.id()).isEqualTo(id);
    }

    @Test
    void aListenerHearsOfEveryChangeAtAndBelowItsPath() {
        ReadingListener below = new ReadingListener(() -> texts("a"));
        ReadingListener at = new ReadingListener(
                () -> ledger.read("b").map(Entry::text).stream().toList());
        try (Watch _ = ledger.watch("a", below);
                Watch _ = ledger.watch("b", at)) {
            for (int i = 0; i < 20; i++) {
                String value = Integer.toString(i);
                transact(new Put("a/deep/down", bytes(value)), new Put("b", bytes(value)));
                below.awaits(List.of(value));
                at.awaits(List.of(value));
            }
            transact(new Delete("a/deep/down"));
            below.awaits(List.of());
        }
    }

    @Test
    void aListenerIsNeverCalledTwiceAtOnceAndHearsOfTheLastChange() throws Exception {
        AtomicInteger inside = new AtomicInteger();
        AtomicInteger overlaps = new AtomicInteger();
        ReadingListener listener = new ReadingListener(() -> {
            if (inside.incrementAndGet() > 1) {
                overlaps.incrementAndGet();
            }
            List<String> texts = texts("a");
            inside.decrementAndGet();
            return texts;
        });
        try (Watch _ = ledger.watch("a", listener)) {
            inThreads(i -> transact(new Put("a/x", bytes("first " + i)), new Put("a/x", bytes("then " + i))));
            transact(new Put("a/x", bytes("last")));
            listener.awaits(List.of("last"));
        }
        assertThat(overlaps).hasValue(0);
    }

    @Test
    void aListenerThatFailsOrHangsDisturbsNobody() throws Exception {
        CountDownLatch release = new CountDownLatch(1);
        AtomicInteger failures = new AtomicInteger();
        ReadingListener listener = new ReadingListener(() -> texts("a"));
        try (Watch _ = ledger.watch("a", () -> {
                    failures.incrementAndGet();
                    throw new IllegalStateException("broken on purpose");
                });
                Watch _ = ledger.watch("a", () -> {
                    try {
                        release.await();
                    } catch (InterruptedException e) {
                        throw new IllegalStateException(e);
                    }
                });
                Watch _ = ledger.watch("a", listener)) {
            transact(new Put("a/x", bytes("1")));
            listener.awaits(List.of("1"));
            until("a listener that failed is called again", () -> {
                transact(new Put("a/x", bytes("2")));
                return failures.get() >= 2;
            });
            listener.awaits(List.of("2"));
        } finally {
            release.countDown();
        }
    }

    @Test
    void whatIsAnnouncedIsThereUntilItIsWithdrawn() {
        assertThat(ledger.announced()).isEmpty();
        ReadingListener listener =
                new ReadingListener(() -> List.copyOf(ledger.announced().keySet()));
        try (Watch _ = ledger.watch(Ledger.PRESENCE, listener)) {
            Lease lease = ledger.announce("node-1", bytes("here"));
            until("the lease is held", lease::held);
            assertThat(lease.superseded()).isFalse();
            assertThat(ledger.announced()).containsOnlyKeys("node-1");
            assertThat(ledger.announced().get("node-1")).isEqualTo(bytes("here"));
            listener.awaits(List.of("node-1"));

            lease.close();
            lease.close();
            assertThat(lease.held()).isFalse();
            assertThat(lease.superseded()).isFalse();
            listener.awaits(List.of());
        }
    }

    @Test
    void theNewestAnnouncementOfANameWins() {
        Lease older = ledger.announce("node-1", bytes("older"));
        Lease newer = ledger.announce("node-1", bytes("newer"));

        until("the older one is superseded", older::superseded);
        assertThat(older.held()).isFalse();
        until("the newer one is held", newer::held);
        assertThat(newer.superseded()).isFalse();
        older.close();
        ledger.catchUp();
        assertThat(ledger.announced().get("node-1")).isEqualTo(bytes("newer"));
        assertThat(newer.held()).isTrue();
    }

    @Test
    void whatCannotBeAnnouncedIsRefused() {
        for (String name : List.of("", "a/b", "..", ".a", "a b")) {
            assertThatThrownBy(() -> ledger.announce(name, bytes("x")))
                    .as(name)
                    .isInstanceOf(IllegalArgumentException.class);
        }
        refused(() -> ledger.announce("a", new byte[Ledger.VALUE_BYTES_MAX + 1]));
        refused(() -> ledger.announce("p".repeat(Ledger.PATH_CHARACTERS_MAX + 1), bytes("x")));
    }

    @Test
    void aLeaseIsLostWhenItsLedgerIsClosed() {
        Lease lease = ledger.announce("node-1", bytes("here"));
        ledger.close();

        assertThat(lease.held()).isFalse();
    }

    @Test
    void numbersAreDrawnByManyWithoutGapsOrRepeats() throws Exception {
        long each = 10;
        List<List<Long>> drawn = inThreads(i -> {
            Numbers numbers = new Numbers(ledger, "switches");
            return LongStream.range(0, each).map(n -> numbers.next()).boxed().toList();
        });

        assertThat(drawn.stream().flatMap(List::stream).sorted())
                .containsExactlyElementsOf(
                        LongStream.rangeClosed(1, THREADS * each).boxed().toList());
    }

    private List<String> texts(String prefix) {
        return ledger.list(prefix).stream().map(Entry::text).toList();
    }

    /** Reads whenever it is told to, as listeners are meant to do. */
    private static final class ReadingListener implements Runnable {
        private final Supplier<List<String>> reading;
        private final AtomicReference<@Nullable List<String>> last = new AtomicReference<>();

        ReadingListener(Supplier<List<String>> reading) {
            this.reading = reading;
        }

        @Override
        public void run() {
            last.set(reading.get());
        }

        void awaits(List<String> expected) {
            until("a listener reads " + expected, () -> expected.equals(last.get()));
        }
    }

    protected static void until(String what, BooleanSupplier condition) {
        Await.until(Duration.ofSeconds(30), what, condition);
    }

    protected final Outcome transact(Operation... operations) {
        return ledger.transact(List.of(operations));
    }

    protected static byte[] bytes(String text) {
        return text.getBytes(UTF_8);
    }

    private interface Work<T> {
        T with(int thread) throws Exception;
    }

    /** The answers of THREADS threads that run at the same time. */
    private static <T> List<T> inThreads(Work<T> work) throws Exception {
        try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Callable<T>> tasks = new ArrayList<>();
            for (int i = 0; i < THREADS; i++) {
                int thread = i;
                tasks.add(() -> work.with(thread));
            }
            List<T> results = new ArrayList<>();
            for (Future<T> future : threads.invokeAll(tasks)) {
                results.add(future.get());
            }
            return results;
        }
    }

    private static void refused(ThrowingCallable call) {
        assertThatThrownBy(call)
                .isInstanceOfSatisfying(
                        LedgerException.class, e -> assertThat(e.code()).isEqualTo(LedgerException.Code.LIMIT));
    }
}
