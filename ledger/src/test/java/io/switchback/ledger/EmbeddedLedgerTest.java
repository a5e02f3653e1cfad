package io.switchback.ledger;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.switchback.environment.Environment;
import io.switchback.ledger.Operation.Delete;
import io.switchback.ledger.Operation.Put;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.zip.CRC32C;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The log on a real disk: torn, garbled, damaged, of another version, compacted, read beside its writer. */
class EmbeddedLedgerTest {
    @TempDir
    private Path folder;

    @Test
    void everythingIsThereAgainAfterItWasClosed() {
        try (Ledger ledger = open()) {
            put(ledger, "a", "1");
            put(ledger, "a", "2");
            put(ledger, "b", "3");
            ledger.transact(List.of(new Delete("b"), new Put("c/d", bytes("4"))));
        }
        try (Ledger ledger = open()) {
            assertThat(ledger.read("a")).contains(new Entry("a", bytes("2"), 1));
            assertThat(ledger.read("b")).isEmpty();
            assertThat(ledger.read("c/d")).contains(new Entry("c/d", bytes("4"), 0));
        }
    }

    @Test
    void theIdIsDrawnOnceAndKeptAndNobodyCanNameItsEntry() throws IOException {
        write(3); // as an older version leaves it, without an id
        String id;
        try (Ledger ledger = open()) {
            id = ledger.id();
            assertThat(catchThrowableOfType(IllegalArgumentException.class, () -> ledger.read(".id")))
                    .isNotNull();
        }
        try (Ledger ledger = open()) {
            assertThat(ledger.id()).isEqualTo(id);
            for (int i = 0; i < 100; i++) {
                put(ledger, "a", "x".repeat(1_000)); // until it is compacted
            }
        }
        try (Ledger ledger = EmbeddedLedger.readOnly(folder)) {
            assertThat(ledger.id()).isEqualTo(id);
        }
    }

    @Test
    void aLedgerThatIsOnlyReadIsGivenNoIdAndAnnouncesNobody() throws IOException {
        write(1);
        try (Ledger ledger = EmbeddedLedger.readOnly(folder)) {
            assertThat(refusal(ledger::id).code()).isEqualTo(LedgerException.Code.READ_ONLY);
            assertThat(refusal(() -> ledger.announce("node-1", bytes("x"))).code())
                    .isEqualTo(LedgerException.Code.READ_ONLY);
            assertThat(ledger.announced()).isEmpty();
        }
    }

    @Test
    void aLastWriteThatIsTornAtAnyByteIsCutOffAndTheLedgerGoesOn() throws IOException {
        Written written = write(3);
        for (int length = written.lastOffset(); length < written.log().length; length++) {
            byte[] torn = Arrays.copyOf(written.log(), length);
            goesOnWithoutTheLast(torn, "cut at " + length);
            // A file system may have made the file longer before it wrote.
            goesOnWithoutTheLast(Arrays.copyOf(torn, written.log().length), "zeros from " + length);
        }
    }

    @Test
    void aLastWriteWithAnyByteWrongIsCutOffAndTheLedgerGoesOn() throws IOException {
        Written written = write(3);
        Random random = new Random(7);
        for (int at = written.lastOffset(); at < written.log().length; at++) {
            for (int bit = 0; bit < 8; bit++) {
                byte[] flipped = written.log().clone();
                flipped[at] ^= (byte) (1 << bit);
                goesOnWithoutTheLast(flipped, "bit " + bit + " of " + at);
            }
            byte[] garbled = written.log().clone();
            byte[] noise = new byte[garbled.length - at];
            random.nextBytes(noise);
            System.arraycopy(noise, 0, garbled, at, noise.length);
            goesOnWithoutTheLast(garbled, "noise from " + at);
        }
    }

    @Test
    void damageBeforeTheLastWriteIsRefusedWithFileAndOffsetAndNothingIsChanged() throws IOException {
        Written written = write(4);
        for (int at = LogFormat.HEADER_BYTES; at < written.lastOffset(); at++) {
            byte[] flipped = written.log().clone();
            flipped[at] ^= 0x10;
            Files.write(log(), flipped);

            LedgerException refusal = refusal(this::open);

            assertThat(refusal.code()).as("byte %d", at).isEqualTo(LedgerException.Code.DAMAGED);
            assertThat(refusal)
                    .hasMessageContaining(log() + " is damaged at offset " + written.recordOffsetOf(at))
                    .hasMessageContaining("Put back a copy");
            assertThat(Files.readAllBytes(log())).isEqualTo(flipped);
            assertThat(refusal(() -> EmbeddedLedger.readOnly(folder)).code()).isEqualTo(LedgerException.Code.DAMAGED);
        }
    }

    @Test
    void damageOfTheHeaderIsRefused() throws IOException {
        Written written = write(2);
        for (int at = 0; at < LogFormat.HEADER_BYTES; at++) {
            byte[] flipped = written.log().clone();
            flipped[at] ^= 1;
            Files.write(log(), flipped);
            assertThat(refusal(this::open)).hasMessageContaining("is damaged at offset 0");
        }
        for (int length = 0; length < LogFormat.HEADER_BYTES; length++) {
            Files.write(log(), Arrays.copyOf(written.log(), length));
            assertThat(refusal(this::open)).hasMessageContaining("is damaged at offset 0");
        }
    }

    @Test
    void whatFollowsIsTooMuchForATornWriteAndIsRefused() throws IOException {
        Written written = write(2);
        byte[] longer = Arrays.copyOf(
                written.log(), written.log().length + LogFormat.PAYLOAD_BYTES_MAX + LogFormat.RECORD_HEADER_BYTES + 1);
        Files.write(log(), longer);

        assertThat(refusal(this::open)).hasMessageContaining("more than one write can leave");
    }

    @Test
    void aValueThatLooksLikeARecordIsNotTakenForOneWhenItsWriteIsTorn() throws IOException {
        Written written = write(2);
        byte[] record = Arrays.copyOfRange(written.log(), LogFormat.HEADER_BYTES, written.log().length);
        try (Ledger ledger = open()) {
            ledger.transact(List.of(new Put("trap", record)));
        }
        byte[] log = Files.readAllBytes(log());
        for (int cut = written.log().length; cut < log.length; cut++) {
            Files.write(log(), Arrays.copyOf(log, cut));
            try (Ledger ledger = open()) {
                assertThat(ledger.read("trap")).isEmpty();
            }
        }
    }

    @Test
    void aLogOfANewerFormatIsRefusedAndLeftAlone() throws IOException {
        Written written = write(1);
        byte[] newer = written.log().clone();
        ByteBuffer header = ByteBuffer.wrap(newer).putInt(8, LogFormat.VERSION + 1);
        CRC32C crc = new CRC32C();
        crc.update(newer, 0, LogFormat.HEADER_BYTES - 4);
        header.putInt(LogFormat.HEADER_BYTES - 4, (int) crc.getValue());
        Files.write(log(), newer);

        for (ThrowingCallable opening : List.<ThrowingCallable>of(this::open, () -> EmbeddedLedger.readOnly(folder))) {
            LedgerException refusal = refusal(opening);
            assertThat(refusal.code()).isEqualTo(LedgerException.Code.NEWER_VERSION);
            assertThat(refusal)
                    .hasMessageContaining("is of format 2")
                    .hasMessageContaining("run the version that wrote it");
        }
        assertThat(Files.readAllBytes(log())).isEqualTo(newer);
    }

    @Test
    void aLedgerWhoseFileIsGoneIsRefusedAndNotMadeAnew() throws IOException {
        write(1);
        Files.delete(log());

        assertThat(refusal(this::open).code()).isEqualTo(LedgerException.Code.DAMAGED);
        assertThat(refusal(this::open)).hasMessageContaining("is gone");
        assertThat(log()).doesNotExist();
    }

    @Test
    void aFolderThatCannotBeUsedIsSaid() throws IOException {
        Path file = Files.writeString(folder.resolve("file"), "x");

        assertThat(refusal(() -> EmbeddedLedger.open(file, Environment.system()))
                        .code())
                .isEqualTo(LedgerException.Code.STORAGE);
        assertThat(refusal(() -> EmbeddedLedger.readOnly(folder.resolve("gone"))))
                .hasMessageContaining("There is no ledger in");
    }

    @Test
    void aReadOnlyViewStandsBesideAnOpenLedgerAndWritesNothing() throws IOException {
        try (Ledger writer = open()) {
            put(writer, "a", "1");
            try (Ledger view = EmbeddedLedger.readOnly(folder)) {
                put(writer, "a", "2");

                assertThat(view.read("a").map(Entry::text)).contains("1");
                assertThat(refusal(() -> view.transact(List.of(new Put("a", bytes("3")))))
                                .code())
                        .isEqualTo(LedgerException.Code.READ_ONLY);
            }
            put(writer, "a", "3");
        }
        byte[] log = Files.readAllBytes(log());
        byte[] torn = Arrays.copyOf(log, log.length - 1);
        Files.write(log(), torn);
        try (Ledger view = EmbeddedLedger.readOnly(folder)) {
            assertThat(view.read("a").map(Entry::text)).contains("2");
        }
        assertThat(Files.readAllBytes(log())).isEqualTo(torn);
    }

    @Test
    void aLogThatIsManyTimesItsEntriesIsCompactedAndNothingIsLost() throws IOException {
        byte[] value = new byte[10_000];
        try (Ledger ledger = open()) {
            put(ledger, "keep/1", "x");
            for (int i = 0; i < 500; i++) {
                ledger.transact(List.of(new Put("big", value), new Put("count", bytes("" + i))));
                assertThat(Files.size(log())).isLessThan(2 * EmbeddedLedger.COMPACTION_LOG_BYTES_MIN);
            }
        }
        try (Ledger ledger = open()) {
            assertThat(ledger.read("keep/1")).contains(new Entry("keep/1", bytes("x"), 0));
            assertThat(ledger.read("count")).contains(new Entry("count", bytes("499"), 499));
            assertThat(ledger.read("big")).contains(new Entry("big", value, 499));
            put(ledger, "keep/2", "y");
        }
        try (Ledger ledger = open()) {
            assertThat(ledger.list("keep")).hasSize(2);
        }
    }

    @Test
    void anInterruptedThreadOpensAndCompactsAndStaysInterrupted() throws IOException {
        Thread.currentThread().interrupt();
        try (Ledger ledger = EmbeddedLedger.open(folder, Environment.system(), RealDisk.INSTANCE, 1_000)) {
            assertThat(Thread.interrupted()).isTrue();
            Thread.currentThread().interrupt();
            for (int i = 0; i < 100; i++) {
                put(ledger, "k", "value " + i);
            }
            assertThat(Thread.interrupted()).isTrue();
            assertThat(Files.size(log())).isLessThan(2_000);
        }
        try (Ledger ledger = open()) {
            assertThat(ledger.read("k").map(Entry::text)).contains("value 99");
        }
    }

    @Test
    void aLedgerLargerThanOneRecordIsCompactedIntoSeveral() {
        byte[] value = new byte[Ledger.VALUE_BYTES_MAX];
        new Random(3).nextBytes(value);
        try (Ledger ledger = open()) {
            for (int round = 0; round < 5; round++) {
                for (int i = 0; i < 10; i++) {
                    ledger.transact(List.of(new Put("big/" + i, value)));
                }
            }
        }
        try (Ledger ledger = open()) {
            assertThat(ledger.list("big")).hasSize(10).allSatisfy(entry -> {
                assertThat(entry.version()).isEqualTo(4);
                assertThat(entry.value()).isEqualTo(value);
            });
        }
    }

    @Test
    void aLedgerThatIsFullRefusesMoreAndTakesWhatMakesItSmaller() {
        byte[] value = new byte[Ledger.VALUE_BYTES_MAX];
        long fit = EmbeddedLedger.LIVE_BYTES_MAX / Ledger.VALUE_BYTES_MAX;
        try (Ledger ledger = open()) {
            for (int i = 0; i < fit - 1; i++) {
                ledger.transact(List.of(new Put("big/" + i, value)));
            }
            assertThat(refusal(() -> ledger.transact(List.of(new Put("more/1", value), new Put("more/2", value)))))
                    .hasMessageContaining("forget old releases");
            assertThat(ledger.list("more")).isEmpty();

            ledger.transact(List.of(new Delete("big/0"), new Delete("big/1")));
            ledger.transact(List.of(new Put("more/1", value)));
            assertThat(ledger.list("more")).hasSize(1);
        }
    }

    private record Written(byte[] log, List<Integer> offsets) {
        int lastOffset() {
            return offsets.getLast();
        }

        int recordOffsetOf(int at) {
            return offsets.stream()
                    .filter(offset -> offset <= at)
                    .max(Integer::compare)
                    .orElseThrow();
        }
    }

    /** A ledger in which k/1 to k/count were put one by one, closed. */
    private Written write(int count) throws IOException {
        List<Integer> offsets = new ArrayList<>();
        try (Ledger ledger = open()) {
            for (int i = 1; i <= count; i++) {
                offsets.add((int) Files.size(log()));
                put(ledger, "k/" + i, "value-" + i);
            }
        }
        return new Written(Files.readAllBytes(log()), offsets);
    }

    private void goesOnWithoutTheLast(byte[] bytes, String what) throws IOException {
        Files.write(log(), bytes);
        try (Ledger ledger = open()) {
            assertThat(ledger.list("k")).as(what).extracting(Entry::path).containsExactly("k/1", "k/2");
            put(ledger, "after", "x");
        }
        try (Ledger ledger = open()) {
            assertThat(ledger.read("after")).as(what).isPresent();
            assertThat(ledger.list("k")).as(what).hasSize(2);
        }
    }

    private EmbeddedLedger open() {
        return EmbeddedLedger.open(folder, Environment.system());
    }

    private Path log() {
        return folder.resolve("ledger.log");
    }

    private static void put(Ledger ledger, String path, String value) {
        assertThat(ledger.transact(List.of(new Put(path, bytes(value))))).isEqualTo(new Outcome.Done());
    }

    private static byte[] bytes(String text) {
        return text.getBytes(UTF_8);
    }

    private static LedgerException refusal(ThrowingCallable call) {
        return Objects.requireNonNull(catchThrowableOfType(LedgerException.class, call), "nothing was refused");
    }
}
