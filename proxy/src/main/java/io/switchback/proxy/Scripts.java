package io.switchback.proxy;

import java.nio.ByteBuffer;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The scripts that clients of a cache have loaded or run, so that a switch can load them at the fleet that comes next: servers do not
 * replicate them, and EVALSHA there would answer NOSCRIPT. Those that were not used for longest go first. Any thread.
 */
final class Scripts {
    private final long bytesMax;
    private final Map<ByteBuffer, byte[]> bodies = new LinkedHashMap<>(16, 0.75f, true);
    private long bytes;
    private long forgotten;

    /** {@code bytesMax}: of all bodies together. */
    Scripts(long bytesMax) {
        this.bytesMax = bytesMax;
    }

    /** Whether it is a new one. The array is not to be changed any more. */
    synchronized boolean remember(byte[] body) {
        ByteBuffer key = ByteBuffer.wrap(body);
        if (body.length > bytesMax || bodies.put(key, body) != null) {
            return false;
        }
        bytes += body.length;
        Iterator<ByteBuffer> oldest = bodies.keySet().iterator();
        while (bytes > bytesMax) {
            bytes -= oldest.next().remaining();
            oldest.remove();
            forgotten++;
        }
        return true;
    }

    synchronized List<byte[]> all() {
        return List.copyOf(bodies.values());
    }

    /** How many had to go for others since the proxy was opened. */
    synchronized long forgotten() {
        return forgotten;
    }

    /** SCRIPT FLUSH. */
    synchronized void forget() {
        bodies.clear();
        bytes = 0;
    }
}
