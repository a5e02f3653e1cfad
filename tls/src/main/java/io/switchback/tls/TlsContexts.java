package io.switchback.tls;

import io.switchback.environment.Environment;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * The contexts of this process, by what they are made of: whoever names the same files uses the same context, so that all see a new certificate at the
 * same time. There are as many as a node's file has places for TLS.
 */
public final class TlsContexts {
    /** So often the files are looked at. */
    public static final Duration LOOK_EVERY = Duration.ofSeconds(10);

    private static final Map<TlsFiles, TlsContext> KNOWN = new ConcurrentHashMap<>();

    private TlsContexts() {}

    /**
     * What these files say; they are read where nobody has asked for them before, which waits for the disk.
     *
     * @throws TlsException where they were never good so far
     */
    public static TlsContext of(TlsFiles files) {
        return KNOWN.computeIfAbsent(files, wanted -> TlsContext.open(wanted, Environment.system()));
    }

    /**
     * Reads these files for nothing but to find out whether they can be used.
     *
     * @throws TlsException where not
     */
    public static void demandGood(TlsFiles files) {
        TlsContext.open(files, Environment.system());
    }

    /** Looks at all files that are in use. */
    public static void look() {
        List.copyOf(KNOWN.values()).forEach(TlsContext::look);
    }

    /** Looks at them every {@link #LOOK_EVERY}, on a thread of its own, until it is closed. */
    public static AutoCloseable watch(Environment environment) {
        Thread watching = Thread.ofVirtual().name("certificates").start(() -> {
            try {
                while (true) {
                    look();
                    environment.sleep(LOOK_EVERY);
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt(); // closed
            }
        });
        return watching::interrupt;
    }
}
