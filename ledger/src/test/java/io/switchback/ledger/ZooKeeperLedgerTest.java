package io.switchback.ledger;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.switchback.environment.Environment;
import io.switchback.ledger.Operation.Create;
import io.switchback.ledger.Operation.ExpectAbsent;
import io.switchback.ledger.Operation.Put;
import io.switchback.ledger.Operation.Replace;
import io.switchback.testkit.Await;
import io.switchback.testkit.ZooKeeperEnsemble;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.apache.zookeeper.ZKUtil;
import org.apache.zookeeper.ZooKeeper;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A ledger in an ensemble of three whose members are killed and stopped, and its clients: several, overtaken, stopped. */
@Timeout(120)
class ZooKeeperLedgerTest {
    private static final Duration SESSION_TIMEOUT = Duration.ofSeconds(3);
    private static final Duration OPERATION_LIMIT = Duration.ofSeconds(8);
    private static final Duration SHORT_LIMIT = Duration.ofSeconds(2);
    private static final AtomicInteger LEDGERS = new AtomicInteger();

    @TempDir
    private static Path folder;

    private static ZooKeeperEnsemble ensemble;

    private final Environment environment = Environment.system();
    private final String root = "/test/ledger-" + LEDGERS.incrementAndGet();
    private final List<Ledger> opened = new ArrayList<>();

    @BeforeAll
    static void startEnsemble() {
        ensemble = ZooKeeperEnsemble.start(3, folder);
    }

    @AfterAll
    static void endEnsemble() {
        ensemble.close();
    }

    @AfterEach
    void healAndClose() {
        ensemble.heal();
        opened.forEach(Ledger::close);
    }

    @Test
    void aMemberThatIsKilledIsADelayAndNothingIsLostOrDoneTwice() throws Exception {
        Ledger ledger = open();
        ledger.transact(List.of(new Create("counter", bytes("0"))));
        AtomicBoolean stop = new AtomicBoolean();
        AtomicInteger done = new AtomicInteger();
        try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
            Future<?> counting = threads.submit(() -> {
                while (!stop.get()) {
                    Entry now = ledger.read("counter").orElseThrow();
                    int next = Integer.parseInt(now.text()) + 1;
                    // Alone, it must never conflict: it would if a step were made that it was not told of, or twice.
                    assertThat(ledger.transact(List.of(
                                    new Replace("counter", bytes(Integer.toString(next)), now.version()),
                                    new Create("steps/" + next, bytes("x")))))
                            .isEqualTo(new Outcome.Done());
                    done.set(next);
                }
            });
            // Each member once: one of them is the one that the ledger is connected to, one is the leader.
            for (int member = 0; member < ensemble.size(); member++) {
                more(done, counting, 20);
                ensemble.kill(member);
                more(done, counting, 20);
                ensemble.heal();
            }
            stop.set(true);
            counting.get();
        }
        assertThat(ledger.read("counter").map(Entry::text)).contains(Integer.toString(done.get()));
        assertThat(ledger.list("steps")).hasSize(done.get());
    }

    @Test
    void aTransactionWhoseAnswerIsLostIsFoundToBeMadeOrMadeOnce() throws Exception {
        int port = Integer.parseInt(
                ensemble.connect(0).substring(ensemble.connect(0).indexOf(':') + 1));
        try (CuttingWire wire = new CuttingWire(port)) {
            Ledger ledger = open(wire.address(), OPERATION_LIMIT);
            ledger.transact(List.of(new Create("counter", bytes("0"))));
            for (int round = 0; round < 5; round++) {
                // Which answer it is that is lost: that of a question before it, or its own.
                for (boolean together : new boolean[] {false, true}) {
                    Entry now = ledger.read("counter").orElseThrow();
                    List<Operation> operations = new ArrayList<>();
                    operations.add(new Replace("counter", bytes("x"), now.version()));
                    operations.addAll(together ? List.of(new Put("other/" + round, bytes("x"))) : List.of());
                    wire.cutTheNextAnswer();

                    assertThat(ledger.transact(operations)).isEqualTo(new Outcome.Done());
                    assertThat(ledger.read("counter").map(Entry::version)).contains(now.version() + 1);
                }
            }
        }
    }

    private static void more(AtomicInteger done, Future<?> counting, int steps) {
        int before = done.get();
        until("the ledger goes on", () -> done.get() >= before + steps || counting.isDone());
    }

    @Test
    void withoutAQuorumNothingIsAnsweredAndTheLeaseIsLostInTimeAndWithItAllGoesOn() {
        Ledger ledger = open();
        Ledger impatient = open(SHORT_LIMIT);
        Lease lease = ledger.announce("node-1", bytes("here"));
        until("the lease is held", lease::held);
        ledger.transact(List.of(new Create("a", bytes("1"))));
        AtomicInteger changes = new AtomicInteger();
        Watch watch = ledger.watch("never/changed", changes::incrementAndGet);
        int leader = ensemble.leader();
        int other = (leader + 1) % ensemble.size();

        ensemble.kill(leader);
        ensemble.kill(other);
        long killed = environment.nanoTime();

        unreachable(() -> impatient.transact(List.of(new Put("a", bytes("2")))));
        unreachable(() -> impatient.read("a"));
        unreachable(impatient::catchUp);
        unreachable(() -> impatient.list("a"));
        assertThat(Duration.ofNanos(environment.nanoTime() - killed)).isLessThan(SHORT_LIMIT.multipliedBy(8));
        until("the lease is lost", () -> !lease.held());
        assertThat(lease.superseded()).isFalse();
        assertThat(environment.nanoTime() - lease.heldUntilNanos()).isGreaterThanOrEqualTo(0);
        int before = changes.get();

        ensemble.heal(); // what is told from here on is told of the reconnection: nothing has changed there

        until("the lease is held again", lease::held);
        assertThat(ledger.announced()).containsOnlyKeys("node-1");
        until("the listener was told of the reconnection", () -> changes.get() > before);
        watch.close();
        // It was made or not, and stays as it is found.
        impatient.catchUp();
        Entry found = impatient.read("a").orElseThrow();
        assertThat(found.text()).isIn("1", "2");
        assertThat(ledger.transact(List.of(new Replace("a", bytes("3"), found.version()))))
                .isEqualTo(new Outcome.Done());
        impatient.catchUp();
        assertThat(impatient.read("a").map(Entry::text)).contains("3");
    }

    @Test
    void aTransactionWhoseServerIsStoppedIsNeverMadeAfterItsCallerHasReadThatItIsNot() {
        for (int round = 0; round < 2; round++) {
            int stopped = round % ensemble.size();
            Ledger ledger = open(SHORT_LIMIT);
            Ledger witness = open();
            ledger.transact(List.of(new Put("a", bytes("before"))));
            ensemble.stop(stopped);
            String outcome;
            try {
                ledger.transact(List.of(new Put("a", bytes("during " + round))));
                outcome = "during " + round;
            } catch (LedgerException e) {
                assertThat(e.code()).isEqualTo(LedgerException.Code.UNREACHABLE);
                until("the ledger answers", () -> answers(ledger));
                outcome = ledger.read("a").map(Entry::text).orElseThrow();
            }
            ensemble.heal();
            witness.catchUp();
            assertThat(witness.read("a").map(Entry::text)).contains(outcome);
        }
    }

    private static boolean answers(Ledger ledger) {
        try {
            ledger.catchUp();
            return true;
        } catch (LedgerException e) {
            return false;
        }
    }

    @Test
    void ofTwoClientsThatCreateTheSameOneWinsAndBothReadIt() throws Exception {
        Ledger one = open();
        Ledger two = open();
        try (ExecutorService threads = Executors.newFixedThreadPool(2)) {
            for (int round = 0; round < 30; round++) {
                String path = "decisions/switch-" + round;
                Future<Outcome> first = threads.submit(() -> one.transact(List.of(new Create(path, bytes("one")))));
                Future<Outcome> second = threads.submit(() -> two.transact(List.of(new Create(path, bytes("two")))));
                boolean firstWon = first.get() instanceof Outcome.Done;

                assertThat(second.get() instanceof Outcome.Done).isNotEqualTo(firstWon);
                String winner = firstWon ? "one" : "two";
                // The loser was refused by what it can read at once; the winner wrote it.
                assertThat(one.read(path).map(Entry::text)).contains(winner);
                assertThat(two.read(path).map(Entry::text)).contains(winner);
            }
        }
    }

    @Test
    void afterCatchingUpAReaderSeesWhatAnotherClientWasToldIsDone() {
        // Each at a member of its own.
        Ledger writer = open(ensemble.connect(0), OPERATION_LIMIT);
        Ledger reader = open(ensemble.connect(1), OPERATION_LIMIT);
        Ledger another = open(ensemble.connect(2), OPERATION_LIMIT);
        for (int i = 0; i < 200; i++) {
            String value = Integer.toString(i);
            writer.transact(List.of(new Put("a", bytes(value))));
            reader.catchUp();
            assertThat(reader.read("a").map(Entry::text)).contains(value);
            another.catchUp();
            assertThat(another.list("a")).isEmpty();
            assertThat(another.read("a").map(Entry::text)).contains(value);
        }
    }

    @Test
    void manyClientsDrawNumbersWithoutGapsOrRepeats() throws Exception {
        long each = 25;
        List<Ledger> ledgers = IntStream.range(0, 4).mapToObj(i -> open()).toList();
        List<Long> drawn = Collections.synchronizedList(new ArrayList<>());
        try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<?>> working = new ArrayList<>();
            for (Ledger ledger : ledgers) {
                for (int thread = 0; thread < 2; thread++) {
                    working.add(threads.submit(() -> {
                        Numbers numbers = new Numbers(ledger, "switches");
                        for (long i = 0; i < each; i++) {
                            drawn.add(numbers.next());
                        }
                    }));
                }
            }
            for (Future<?> future : working) {
                future.get();
            }
        }
        assertThat(drawn.stream().sorted())
                .containsExactlyElementsOf(
                        LongStream.rangeClosed(1, 8 * each).boxed().toList());
    }

    @Test
    void listsAreOfOneInstantWhileOthersAddAndRemove() throws Exception {
        Ledger writer = open();
        Ledger reader = open();
        AtomicBoolean stop = new AtomicBoolean();
        try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
            Future<?> writing = threads.submit(() -> {
                for (int i = 0; !stop.get(); i++) {
                    // One token moves on: at each instant there is exactly one.
                    writer.transact(
                            i == 0
                                    ? List.of(new Create("tokens/a/0", bytes("x")))
                                    : List.of(
                                            new Operation.Delete("tokens/" + folderOf(i - 1) + "/" + (i - 1)),
                                            new Create("tokens/" + folderOf(i) + "/" + i, bytes("x"))));
                }
            });
            until("there is a token", () -> !reader.list("tokens").isEmpty());
            for (int i = 0; i < 200; i++) {
                assertThat(reader.list("tokens")).hasSize(1);
            }
            stop.set(true);
            writing.get();
        }
    }

    private static String folderOf(int i) {
        return i % 3 == 0 ? "a" : "b/c" + i % 2;
    }

    @Test
    void aListOfManyLargeEntriesComesWhole() {
        Ledger ledger = open();
        byte[] large = new byte[Ledger.VALUE_BYTES_MAX];
        for (int i = 0; i < 66; i++) {
            ledger.transact(List.of(new Create("large/" + i, large)));
        }

        assertThat(ledger.list("large")).hasSize(66).allMatch(entry -> entry.value().length == large.length);
    }

    @Test
    void aTransactionAtAllLimitsAtOnceIsTaken() {
        String deepRoot = "/" + "r".repeat(ZooKeeperLayout.ROOT_CHARACTERS_MAX - 1);
        Ledger ledger = open(ensemble.connect() + deepRoot, OPERATION_LIMIT, true);
        List<Operation> operations = new ArrayList<>();
        for (int i = 0; i < Ledger.TRANSACTION_OPERATIONS_MAX - 3; i++) {
            operations.add(new ExpectAbsent(longest("absent" + i)));
        }
        int left = Ledger.TRANSACTION_BYTES_MAX - Ledger.TRANSACTION_OPERATIONS_MAX * Ledger.PATH_CHARACTERS_MAX;
        for (int i = 0; i < 3; i++) {
            operations.add(new Put(longest("put" + i), new byte[Math.min(left / 3, Ledger.VALUE_BYTES_MAX)]));
        }

        assertThat(ledger.transact(operations)).isEqualTo(new Outcome.Done());
    }

    private static String longest(String name) {
        return name + "-".repeat(Ledger.PATH_CHARACTERS_MAX - name.length());
    }

    @Test
    void aNameIsTakenOverAtOnceAndNeverGivenBackToTheOlder() {
        Ledger older = open();
        Ledger newer = open();
        Lease olders = older.announce("node-1", bytes("older"));
        until("the older one is held", olders::held);

        Lease newers = newer.announce("node-1", bytes("newer"));

        until("the older one knows", olders::superseded);
        assertThat(olders.held()).isFalse();
        until("the newer one is held", newers::held);
        older.catchUp();
        assertThat(older.announced().get("node-1")).isEqualTo(bytes("newer"));
        // Even when the newer one has gone, the older one does not come back.
        newer.close();
        until("the newer one has gone", () -> older.announced().isEmpty());
        assertThat(olders.held()).isFalse();
        Lease again = open().announce("node-1", bytes("again"));
        until("the name can be taken again", again::held);
    }

    @Test
    void anOlderOneThatWasAwayWhileItsNameWasTakenDoesNotTakeItBack() throws Exception {
        try (Child child = new Child()) {
            child.awaits("held");
            child.stop();
            Ledger ledger = open();
            Lease lease = ledger.announce(Child.NAME, bytes("newer"));
            until("the newer one is held", lease::held);
            // Until the ensemble has forgotten the child's session, so that it comes back in a new one.
            until("the child's session is over", () -> sessions() == 1);
            child.resume();

            child.awaits("superseded");
            ledger.catchUp();
            assertThat(lease.held()).isTrue();
            assertThat(ledger.announced().get(Child.NAME)).isEqualTo(bytes("newer"));
        }
    }

    @Test
    void aProcessThatWasStoppedForLongerThanItsSessionFindsItsLeaseLostAtTheFirstLook() throws Exception {
        Ledger ledger = open();
        try (Child child = new Child()) {
            child.awaits("held");
            until("the child is seen", () -> ledger.announced().containsKey(Child.NAME));
            child.stop();
            until("the child's session is over", () -> ledger.announced().isEmpty());
            child.resume();

            // It looks all the time, and says what it sees first when it has been away.
            assertThat(child.says("first look")).isEqualTo("first look after a pause: lost");
            // And then, without anybody's doing, it is back.
            child.awaits("held");
            until("the child is seen again", () -> ledger.announced().containsKey(Child.NAME));
        }
    }

    @Test
    void anAnnouncementThatSomebodyHasTakenAwayComesBack() throws Exception {
        Ledger ledger = open();
        Lease lease = ledger.announce("node-1", bytes("here"));
        until("the lease is held", lease::held);
        raw(raw -> {
            raw.delete(root + "/presence/node-1", -1);
        });
        until("it is back", () -> ledger.announced().containsKey("node-1"));
        assertThat(lease.superseded()).isFalse();
    }

    @Test
    void aLedgerOfANewerFormatIsRefusedAndOneOfNoFormatToo() throws Exception {
        String id = open().id();
        assertThat(open().id()).isEqualTo(id);
        raw(raw -> {
            raw.setData(root + "/format", bytes("{\"format\":2,\"id\":\"x\"}"), -1);
            assertThat(refusal(this::open).code()).isEqualTo(LedgerException.Code.NEWER_VERSION);
            raw.setData(root + "/format", bytes("something else"), -1);
            assertThat(refusal(this::open).code()).isEqualTo(LedgerException.Code.DAMAGED);
        });
    }

    @Test
    void aLedgerThatIsWipedUnderItsUsersIsNotTakenForAnEmptyOne() throws Exception {
        Ledger ledger = open();
        String id = ledger.id();
        ledger.transact(List.of(new Create("a", bytes("1"))));
        raw(raw -> {
            ZKUtil.deleteRecursive(raw, root);
        });
        until("it says that it is gone", () -> {
            try {
                ledger.catchUp();
                return false;
            } catch (LedgerException e) {
                return e.code() == LedgerException.Code.DAMAGED;
            }
        });
        assertThat(refusal(() -> ledger.transact(List.of(new Create("a", bytes("2")))))
                        .code())
                .isEqualTo(LedgerException.Code.DAMAGED);
        assertThat(open().id()).isNotEqualTo(id);
    }

    @Test
    void anEnsembleThatIsNotThereIsUnreachable() {
        long before = environment.nanoTime();
        unreachable(() -> open("127.0.0.1:1", SHORT_LIMIT));
        assertThat(Duration.ofNanos(environment.nanoTime() - before)).isLessThan(SHORT_LIMIT.multipliedBy(8));
        for (String connect : List.of("", "host", "host:1,", "host:1/a b", "host:1//a", "/a")) {
            assertThatThrownBy(() -> ZooKeeperLedger.open(connect, environment))
                    .as(connect)
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }

    @Test
    void aFolderThatTheEnsembleHasRemovedIsMadeAgain() throws Exception {
        Ledger ledger = open();
        ledger.transact(List.of(new Create("a/b/c", bytes("1"))));
        ledger.transact(List.of(new Operation.Delete("a/b/c")));
        raw(raw -> {
            ZKUtil.deleteRecursive(raw, root + "/entries/a");
        });
        assertThat(ledger.transact(List.of(new Create("a/b/c", bytes("2"))))).isEqualTo(new Outcome.Done());
        assertThat(ledger.read("a/b/c").map(Entry::text)).contains("2");
    }

    private long sessions() {
        long[] found = {0};
        raw(raw -> found[0] = raw.getChildren(root + "/sessions", false).size());
        return found[0];
    }

    private interface RawWork {
        void with(ZooKeeper raw) throws Exception;
    }

    /** With a client of ZooKeeper's own, past everything that a ledger does. */
    private static void raw(RawWork work) {
        try {
            ZooKeeper raw = new ZooKeeper(ensemble.connect(), 10_000, event -> {});
            try {
                until("a plain client is connected", () -> raw.getState() == ZooKeeper.States.CONNECTED);
                work.with(raw);
            } finally {
                raw.close();
            }
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    private Ledger open() {
        return open(OPERATION_LIMIT);
    }

    private Ledger open(Duration limit) {
        return open(ensemble.connect(), limit);
    }

    private Ledger open(String hosts, Duration limit) {
        return open(hosts + root, limit, true);
    }

    private Ledger open(String connect, Duration limit, boolean closed) {
        Ledger ledger = ZooKeeperLedger.open(connect, environment, SESSION_TIMEOUT, limit);
        if (closed) {
            opened.add(ledger);
        }
        return ledger;
    }

    private static LedgerException refusal(ThrowingCallable call) {
        return catchThrowableOfType(LedgerException.class, call);
    }

    private static void unreachable(ThrowingCallable call) {
        assertThatThrownBy(call)
                .isInstanceOfSatisfying(
                        LedgerException.class, e -> assertThat(e.code()).isEqualTo(LedgerException.Code.UNREACHABLE));
    }

    private static void until(String what, BooleanSupplier condition) {
        Await.until(Duration.ofSeconds(40), what, condition);
    }

    private static byte[] bytes(String text) {
        return text.getBytes(UTF_8);
    }

    /** A process of its own that announces itself, looks at its lease without a pause, and says what has changed. */
    private final class Child implements AutoCloseable {
        static final String NAME = "child";

        private final Process process;
        private final BufferedReader reader;

        Child() throws IOException {
            String java = ProcessHandle.current()
                    .info()
                    .command()
                    .orElse(System.getProperty("java.home") + File.separator + "bin/java");
            process = new ProcessBuilder(
                            java,
                            "-Xmx128m",
                            "-XX:+UseSerialGC",
                            "-cp",
                            System.getProperty("java.class.path"),
                            Looking.class.getName(),
                            ensemble.connect() + root)
                    .redirectError(ProcessBuilder.Redirect.DISCARD)
                    .start();
            reader = process.inputReader(UTF_8);
        }

        void awaits(String expected) throws IOException {
            while (!says(expected).equals(expected)) {
                // something that only begins so
            }
        }

        /** The next line that begins so. */
        String says(String expected) throws IOException {
            List<String> lines = new ArrayList<>();
            for (String line = reader.readLine(); line != null; line = reader.readLine()) {
                lines.add(line);
                if (line.startsWith(expected)) {
                    return line;
                }
            }
            throw new AssertionError("The child has ended and never said " + expected + ": " + lines);
        }

        void stop() throws IOException, InterruptedException {
            send("STOP");
        }

        void resume() throws IOException, InterruptedException {
            send("CONT");
        }

        private void send(String signal) throws IOException, InterruptedException {
            Process kill = new ProcessBuilder("kill", "-" + signal, Long.toString(process.pid())).start();
            assertThat(kill.waitFor(10, TimeUnit.SECONDS)).isTrue();
            assertThat(kill.exitValue()).isZero();
        }

        @Override
        public void close() {
            process.destroyForcibly().onExit().join();
        }
    }

    /** What the child does. */
    static final class Looking {
        private Looking() {}

        public static void main(String[] arguments) throws InterruptedException {
            Environment environment = Environment.system();
            try (Ledger ledger =
                    ZooKeeperLedger.open(arguments[0], environment, SESSION_TIMEOUT, Duration.ofSeconds(60))) {
                look(ledger.announce(Child.NAME, bytes("a child")), environment, System.out);
            }
        }

        private static void look(Lease lease, Environment environment, PrintStream out) throws InterruptedException {
            String said = "";
            long before = environment.nanoTime();
            while (true) {
                long now = environment.nanoTime();
                boolean held = lease.held();
                if (now - before > SESSION_TIMEOUT.toNanos() * 2 / 3) {
                    out.println("first look after a pause: " + (held ? "held" : "lost"));
                    out.flush();
                }
                before = now;
                String seen = lease.superseded() ? "superseded" : held ? "held" : "lost";
                if (!seen.equals(said)) {
                    out.println(seen);
                    out.flush();
                    said = seen;
                }
                environment.sleep(Duration.ofMillis(1));
            }
        }
    }
}
