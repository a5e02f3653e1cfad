package io.switchback.clients;

import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** One library in one protocol, used as its own documentation says. Any thread may call it; each call ends when it is answered. */
interface Library extends AutoCloseable {
    /** The library and the protocol, such as {@code jedis-resp3}. */
    String name();

    /** Increments and returns what it is now. */
    long increment(String key);

    void publish(String channel, String message);

    /** Returns when it is subscribed. */
    void subscribe(String channel, Consumer<String> heard);

    /** Returns when it is subscribed. */
    void subscribeToPattern(String pattern, Consumer<String> heard);

    void push(String queue, String element);

    /** Waits until there is one. */
    String take(String queue);

    /** Increments both in one transaction, and returns what they are now. */
    List<Long> incrementTogether(String one, String other);

    /** Reads a counter, does what is to be done meanwhile, and writes the next number, unless somebody else has written it. */
    boolean incrementUnlessChanged(String key, Runnable meanwhile);

    /** Reads a counter and writes the next number while a lock of the library's is held; null where it has no locks. */
    default @Nullable Consumer<String> incrementUnderALock() {
        return null;
    }

    /** A reader that keeps what it has read, and is told by the server what to forget; null where the library has none. */
    @Nullable
    Cache cache();

    /** Connections that the library says it lost. */
    List<String> disconnections();

    @Override
    void close();

    /** Values that are kept at the client. Written by one connection, read by another. */
    interface Cache {
        void write(String key, String value);

        /** Null until it was written. */
        @Nullable
        String read(String key);

        /** Past what is kept. */
        @Nullable
        String readFromServer(String key);

        /** How many reads needed no server. */
        long hits();
    }
}
