package io.switchback.server;

import io.switchback.testkit.RealServer;
import java.util.concurrent.locks.LockSupport;

/** Makes a real server slow until it is closed, as a sick host would: the system stops its process for most of the time. */
final class SlowServer implements AutoCloseable {
    private static final long STOPPED_NANOS = 100_000_000;
    private static final long RUNNING_NANOS = 1_000_000;

    private final RealServer server;
    private final Thread thread;
    private volatile boolean ended;

    SlowServer(RealServer server) {
        this.server = server;
        this.thread = Thread.ofPlatform().name("slow server").start(this::work);
    }

    private void work() {
        try {
            while (!ended) {
                server.stop();
                LockSupport.parkNanos(STOPPED_NANOS);
                server.resume();
                LockSupport.parkNanos(RUNNING_NANOS);
            }
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
