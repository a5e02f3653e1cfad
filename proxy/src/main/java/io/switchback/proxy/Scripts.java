package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * The scripts that clients of a cache have loaded or run, so that a switch can load them at the fleet that comes next: servers do not
 * replicate them, and EVALSHA there would answer NOSCRIPT. No more than servers keep: those that were not used for longest go first, and
 * before those that were loaded by SCRIPT LOAD those that were only run, as on the servers (since Redis 7.4).
 *
 * <p>In front of a cluster a script that was run at one shard is brought to another one that is asked for it by EVALSHA and does not have it ({@link ClusterLane}).
 *
 * <p>Any thread. {@link #used} and {@link #find} take no lock.
 */
final class Scripts {
    /** As many as Redis (since 7.4) keeps of those that were only run. */
    static final int SCRIPTS_MAX = 500;

    private static final Comparator<Script> FIRST_TO_GO =
            Comparator.comparing((Script script) -> script.loaded).thenComparingLong(script -> script.usedAtNanos);

    private final long bytesMax;
    private final Map<ByteBuffer, Script> byBody = new HashMap<>();
    private final Map<String, Script> byHash = new ConcurrentHashMap<>();
    private long bytes;
    private long forgotten;

    /** One script, by its text and by what EVALSHA calls it. */
    static final class Script {
        final byte[] body;
        final String hash;

        /** By SCRIPT LOAD. */
        private volatile boolean loaded;

        private volatile long usedAtNanos;

        private Script(byte[] body) {
            this.body = body;
            this.hash = hash(body);
        }
    }

    /** {@code bytesMax}: of all bodies together. */
    Scripts(long bytesMax) {
        this.bytesMax = bytesMax;
    }

    private static String hash(byte[] body) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-1").digest(body));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java has SHA-1", e);
        }
    }

    /** A server has it; {@code loaded} by SCRIPT LOAD. It, if it is a new one. The array is not to be changed any more. */
    synchronized @Nullable Script remember(byte[] body, boolean loaded, long nowNanos) {
        if (body.length > bytesMax) {
            return null;
        }
        ByteBuffer key = ByteBuffer.wrap(body);
        Script known = byBody.get(key);
        if (known != null) {
            known.loaded |= loaded;
            known.usedAtNanos = nowNanos;
            return null;
        }
        Script script = new Script(body);
        script.loaded = loaded;
        script.usedAtNanos = nowNanos;
        while (bytes + body.length > bytesMax || byBody.size() >= SCRIPTS_MAX) {
            forget(byBody.values().stream().min(FIRST_TO_GO).orElseThrow());
            forgotten++;
        }
        byBody.put(key, script);
        byHash.put(script.hash, script);
        bytes += body.length;
        return script;
    }

    /** Somebody runs the script of that hash. */
    void used(byte[] hash, long nowNanos) {
        Script script = byHash.get(name(hash));
        if (script != null) {
            script.usedAtNanos = nowNanos;
        }
    }

    /** The text of the script of that hash; null where it is not remembered. */
    byte @Nullable [] find(byte[] hash) {
        Script script = byHash.get(name(hash));
        return script == null ? null : script.body;
    }

    private static String name(byte[] hash) {
        return new String(hash, ISO_8859_1).toLowerCase(Locale.ROOT);
    }

    private void forget(Script script) {
        byBody.remove(ByteBuffer.wrap(script.body));
        byHash.remove(script.hash);
        bytes -= script.body.length;
    }

    synchronized List<Script> all() {
        return List.copyOf(byBody.values());
    }

    /** How many had to go for others since the proxy was opened. */
    synchronized long forgotten() {
        return forgotten;
    }

    /** SCRIPT FLUSH. */
    synchronized void forget() {
        byBody.clear();
        byHash.clear();
        bytes = 0;
    }
}
