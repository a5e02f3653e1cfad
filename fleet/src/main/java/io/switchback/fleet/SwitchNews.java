package io.switchback.fleet;

import io.switchback.environment.Environment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Hears from a fleet's sentinels that they have made another server the primary: the hint is passed on, what it says is not believed
 * ({@link SentinelSight} asks).
 *
 * <p>A virtual thread for each sentinel waits at its channel. A sentinel that is silent for {@link #SILENCE} is subscribed to anew, since a connection
 * that has died quietly looks the same; nothing hangs on it, because the fleet is looked at periodically too.
 */
final class SwitchNews implements AutoCloseable {
    private static final Duration SILENCE = Duration.ofSeconds(30);
    private static final Duration PAUSE = Duration.ofSeconds(1);

    private final FleetAddress.Sentinel address;
    private final Optional<FleetTls> tls;
    private final Runnable changed;
    private final Environment environment;
    private final List<Thread> threads = new ArrayList<>();
    private volatile boolean closed;

    /** {@code changed} is called by the threads that wait. */
    SwitchNews(FleetAddress.Sentinel address, Optional<FleetTls> tls, Runnable changed, Environment environment) {
        this.address = address;
        this.tls = tls;
        this.changed = changed;
        this.environment = environment;
        for (Endpoint sentinel : address.sentinels()) {
            threads.add(Thread.ofVirtual().name("news of sentinel " + sentinel).start(() -> hear(sentinel)));
        }
    }

    private void hear(Endpoint sentinel) {
        while (!closed) {
            try (ServerConnection connection = ServerConnection.open(sentinel, address.credential(), tls, SILENCE)) {
                connection.demand("SUBSCRIBE", "+switch-master");
                changed.run(); // it may have happened before this
                while (!closed) {
                    connection.next();
                    changed.run();
                }
            } catch (FleetException e) {
                pause();
            }
        }
    }

    private void pause() {
        try {
            if (!closed) {
                environment.sleep(PAUSE);
            }
        } catch (InterruptedException e) {
            closed = true;
        }
    }

    @Override
    public void close() {
        closed = true;
        threads.forEach(Thread::interrupt); // which also ends a read or a connect of a virtual thread
    }
}
