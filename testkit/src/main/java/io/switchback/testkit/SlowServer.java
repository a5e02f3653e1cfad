package io.switchback.testkit;

import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** Makes a real server slow until it is closed, as a sick host would: the system stops its process for most of the time. */
public final class SlowServer implements AutoCloseable {
    private static final long RUNNING_MS = 1;

    private final RealServer server;
    private final long stoppedMs;
    private final Thread thread;
    private volatile boolean ended;

    /** {@code stopped} is how long the process stands still each time. */
    public SlowServer(RealServer server, Duration stopped) {
        this.stoppedMs = stopped.toMillis();
        this.server = server;
        this.thread = Thread.ofPlatform().name("slow server").start(this::work);
    }

    private void work() {
        try {
            while (!ended) {
                server.stop();
                TimeUnit.MILLISECONDS.sleep(stoppedMs);
                server.resume();
                TimeUnit.MILLISECONDS.sleep(RUNNING_MS);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            server.resume();
        }
    }

    @Override
    public void close() {
        ended = true;
        try {
            thread.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
