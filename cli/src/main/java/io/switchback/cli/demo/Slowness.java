package io.switchback.cli.demo;

import io.switchback.testkit.RealServer;
import java.util.concurrent.TimeUnit;

/** Makes a real server slow, as a sick host would: the system stops its process for most of the time. */
final class Slowness implements AutoCloseable {
    private static final long STOPPED_MS = 30;
    private static final long RUNNING_MS = 1;

    private final RealServer server;
    private final Thread thread;
    private volatile boolean ended;

    Slowness(RealServer server) {
        this.server = server;
        this.thread = Thread.ofPlatform().name("slowness").start(this::work);
    }

    private void work() {
        try {
            while (!ended) {
                server.stop();
                TimeUnit.MILLISECONDS.sleep(STOPPED_MS);
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
