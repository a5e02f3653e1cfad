package io.switchback.proxy;

import io.switchback.environment.Environment;
import io.switchback.tls.TlsFailure;
import java.net.SocketAddress;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Says in the log why clients did not get in over TLS: one of them in each {@link #SAID_EVERY}, since anybody can make as many fail as he likes.
 *
 * <p>May be called by any event loop.
 */
final class FailedHandshakes {
    private static final Logger LOG = LoggerFactory.getLogger(FailedHandshakes.class);
    private static final Duration SAID_EVERY = Duration.ofSeconds(10);

    private final String cache;
    private final Environment environment;
    private final AtomicLong unsaid = new AtomicLong();
    private final AtomicLong sayAgainNanos;

    FailedHandshakes(String cache, Environment environment) {
        this.cache = cache;
        this.environment = environment;
        this.sayAgainNanos = new AtomicLong(environment.nanoTime());
    }

    void failed(@Nullable SocketAddress client, Throwable cause) {
        long now = environment.nanoTime();
        long again = sayAgainNanos.get();
        if (now - again < 0 || !sayAgainNanos.compareAndSet(again, now + SAID_EVERY.toNanos())) {
            unsaid.incrementAndGet();
            return;
        }
        long others = unsaid.getAndSet(0);
        LOG.warn(
                "cache {}: a client at {} did not get in over TLS: {}{}",
                cache,
                client,
                TlsFailure.ofHandshake(cause, Encryption.CLIENT_HANDSHAKE_LIMIT.toMillis()),
                others == 0 ? "" : "; before it " + others + " others");
    }
}
