package io.switchback.architecture.broken;

import io.switchback.architecture.broken.inner.Inner;
import io.switchback.environment.Environment;
import io.switchback.testkit.Await;
import java.time.Duration;
import java.time.Instant;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Supplier;
import java.util.logging.Logger;

/** Breaks every rule of {@link io.switchback.architecture.Rules} that code can break. */
public final class BrokenManager {
    /** As many as {@link #aroundTheEnvironment} holds. */
    public static final int WAYS_AROUND_THE_ENVIRONMENT = 7;

    /** An accessor with get. */
    public Inner getInner() {
        return new Inner(this);
    }

    static String aroundTheEnvironment() throws InterruptedException {
        Supplier<Instant> byReference = Instant::now;
        Thread.sleep(Duration.ofMillis(System.nanoTime() % 2));
        return byReference.get().toString()
                + UUID.randomUUID()
                + ThreadLocalRandom.current().nextInt()
                + System.currentTimeMillis();
    }

    static void output(Throwable problem) {
        System.out.println("to the console");
        problem.printStackTrace();
    }

    static void logging() {
        Logger.getGlobal().info("directly");
    }

    static long withoutAFloor() {
        return Environment.system().nanoTime();
    }

    static void testkit() {
        Await.until(Duration.ofSeconds(1), "nothing", () -> true);
    }
}
