package io.switchback.sync.source;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetSpec;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;
import java.util.OptionalLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** How long a copy is made to wait, by a clock that only waiting moves, and how its source's latency slows it down. */
class CopyPaceTest {
    private static final FleetSpec NOBODY = new FleetSpec("nobody", new Endpoint("127.0.0.1", 1), Optional.empty());
    private static final int CHUNK_BYTES = 64 * 1024;

    @TempDir
    Path folder;

    /** Time passes where somebody waits, and nowhere else. */
    private static final class WaitedTime implements Environment {
        private long nanos;

        @Override
        public long nanoTime() {
            return nanos;
        }

        @Override
        public Instant now() {
            return Instant.EPOCH.plusNanos(nanos);
        }

        @Override
        public void sleep(Duration duration) {
            nanos += duration.toNanos();
        }

        @Override
        public byte[] randomBytes(int count) {
            return new byte[count];
        }
    }

    private static CopyPace pace(OptionalLong bytes, OptionalLong keys, Environment time) {
        return CopyPace.begin(new CopyLimits(bytes, keys, Optional.empty()), NOBODY, time, Thread.ofPlatform());
    }

    @Test
    void bytesAreSpreadOverAsManySecondsAsTheyTakeAtTheLimit() throws IOException {
        WaitedTime time = new WaitedTime();
        CopyPace pace = pace(OptionalLong.of(10L << 20), OptionalLong.empty(), time);
        for (int i = 0; i < 30 * 160; i++) {
            pace.bytes(CHUNK_BYTES);
        }
        assertThat(time.nanos).isBetween(29_900_000_000L, 30_000_000_000L);
        assertThat(pace.bytesPerSecond()).isBetween(9L << 20, 11L << 20);
    }

    @Test
    void keysAreLikewise() throws IOException {
        WaitedTime time = new WaitedTime();
        CopyPace pace = pace(OptionalLong.empty(), OptionalLong.of(2_000), time);
        for (int i = 0; i < 20_000; i++) {
            pace.key();
        }
        assertThat(time.nanos).isBetween(9_900_000_000L, 10_000_000_000L);
    }

    @Test
    void whatWasNotTakenInTimeIsNotMadeUpFor() throws IOException {
        WaitedTime time = new WaitedTime();
        CopyPace pace = pace(OptionalLong.of(1L << 20), OptionalLong.empty(), time);
        pace.bytes(CHUNK_BYTES);
        time.nanos += 3600_000_000_000L;
        long before = time.nanos;
        for (int i = 0; i < 16; i++) {
            pace.bytes(CHUNK_BYTES);
        }
        assertThat(time.nanos - before).isGreaterThan(900_000_000L);
    }

    @Test
    void nobodyWaitsWithoutALimit() throws IOException {
        WaitedTime time = new WaitedTime();
        CopyPace pace = pace(OptionalLong.empty(), OptionalLong.empty(), time);
        for (int i = 0; i < 1_000; i++) {
            pace.bytes(CHUNK_BYTES);
            pace.key();
        }
        assertThat(time.nanos).isZero();
    }

    @Test
    void aSourceThatDoesNotAnswerInTimeIsCopiedMoreSlowly() {
        try (RealServer source = RealServer.start(ServerBinary.any(), folder);
                CopyPace pace = CopyPace.begin(
                        new CopyLimits(OptionalLong.empty(), OptionalLong.empty(), Optional.of(Duration.ofMillis(200))),
                        new FleetSpec("source", new Endpoint(source.host(), source.port()), Optional.empty()),
                        Environment.system(),
                        Thread.ofPlatform())) {
            long before = pace.bytesPerSecondMax();
            Await.until(Duration.ofSeconds(30), "it rises", () -> pace.bytesPerSecondMax() > before);
            Thread busy = Thread.ofPlatform().start(() -> source.call("DEBUG", "SLEEP", "4"));
            Await.until(Duration.ofSeconds(30), "it falls", () -> pace.bytesPerSecondMax() < before * 3 / 4);
            Await.until(Duration.ofSeconds(30), "the server is free again", () -> !busy.isAlive());
            long after = pace.bytesPerSecondMax();
            Await.until(Duration.ofSeconds(30), "it rises again", () -> pace.bytesPerSecondMax() > after);
        }
    }
}
