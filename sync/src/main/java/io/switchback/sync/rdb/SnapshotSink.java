package io.switchback.sync.rdb;

import java.io.IOException;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Takes what a snapshot becomes, in order, on the thread that reads it.
 *
 * <p>Some of the words that are given are shared (names of commands, options, the key): nobody changes any.
 */
public interface SnapshotSink {
    /** In place of a database, for what belongs to none. */
    int NO_DATABASE = -1;

    /** What the snapshot says of its source ({@code redis-ver}, {@code repl-id}, ...), once, before all else. */
    void source(Map<String, String> facts) throws IOException;

    /** The name under which a key of the snapshot is to be rebuilt; null where it is not wanted, and its value is passed over. Called before anything else of it is given. */
    default byte @Nullable [] rebuiltAs(int database, byte[] key) throws IOException {
        return key;
    }

    /**
     * The next command for a key. Those of one key come one after the other and rebuild it whatever was there before: the first is RESTORE
     * with REPLACE, SET, or UNLINK.
     */
    void command(int database, byte[] key, byte[][] words) throws IOException;

    /** The code of a library of functions, as for FUNCTION LOAD. Only where the target knows functions. */
    void library(byte[] code) throws IOException;

    /**
     * What the target cannot take of a key, for a person to read; the rest of the key is rebuilt, unless there is nothing else to it.
     * {@link #NO_DATABASE} and an empty key: of the snapshot as a whole.
     */
    void inexpressible(int database, byte[] key, String what);

    /**
     * The time to live of one field of a hash, where the target does not know such times; called for each of them, beside {@link #inexpressible}
     * once a key. It may be in the past.
     */
    default void fieldExpires(int database, byte[] key, byte[] field, long expiresAtMillis) throws IOException {}
}
