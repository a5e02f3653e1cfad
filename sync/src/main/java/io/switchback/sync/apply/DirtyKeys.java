package io.switchback.sync.apply;

import io.switchback.environment.Environment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;

/**
 * The names of the keys of which a source has told that they were changed, and that nobody has taken since; in the order in which they were told first. Any thread.
 *
 * <p>A name is taken out before its state is asked for, so that a change which comes meanwhile puts it in again.
 *
 * <p>Bounded by {@link #BYTES_MAX}: past it the names are given up, and all that is kept is that <em>everything</em> may have changed. It is so as well after a flush, and before anything
 * was heard at all.
 */
final class DirtyKeys {
    static final long BYTES_MAX = 64L * 1024 * 1024;
    /** What an entry takes beside its name's bytes: two objects, a link each way, a time. */
    private static final int ENTRY_BYTES = 160;

    private final Environment environment;
    private final String link;
    private final long bytesMax;
    private final Predicate<byte[]> carried;
    private final Semaphore work = new Semaphore(0);

    // Guarded by this.
    private final Map<Key, Long> toldAtNanos = new LinkedHashMap<>();
    private long bytes;
    private boolean everything = true;
    private long everythingSinceNanos;
    private boolean noteTold;
    private int attachment;

    /** @param carried whether a key of that name is of interest */
    DirtyKeys(Environment environment, String link, long bytesMax, Predicate<byte[]> carried) {
        this.carried = carried;
        this.environment = environment;
        this.link = link;
        this.bytesMax = bytesMax;
        this.everythingSinceNanos = environment.nanoTime();
    }

    /** Somebody listens anew: what has happened before is not known. The number tells what is heard from now on from what was. */
    synchronized int attach() {
        attachment++;
        everything();
        noteTold = false; // it is looked for once listening has begun
        return attachment;
    }

    synchronized void add(byte[] name) {
        if (LinkKeys.isLeft(name, link)) {
            noteTold = true;
            wake();
        }
        if (everything || !carried.test(name)) {
            return;
        }
        // The database is not told: any may be meant.
        if (toldAtNanos.putIfAbsent(new Key(0, name), environment.nanoTime()) == null) {
            bytes += name.length + ENTRY_BYTES;
            if (bytes > bytesMax) {
                everything();
            } else if (toldAtNanos.size() == 1) {
                wake();
            }
        }
    }

    /** Any key may have changed, or be gone. */
    synchronized void everything() {
        toldAtNanos.clear();
        bytes = 0;
        if (!everything) {
            everything = true;
            everythingSinceNanos = environment.nanoTime();
        }
        wake();
    }

    /** Somebody begins to look at every key: from here on it is known again which of them change. */
    synchronized void beginWalk() {
        everything = false;
    }

    /** Both sides are equal as things stand: what was told before is of no interest; false where it was heard by another attachment than that, and something may have been missed. */
    synchronized boolean forget(int heardBy) {
        if (heardBy != attachment) {
            return false;
        }
        toldAtNanos.clear();
        bytes = 0;
        everything = false;
        return true;
    }

    /** Takes up to so many names out, those first that were told first. */
    synchronized List<byte[]> take(int max) {
        List<byte[]> taken = new ArrayList<>(Math.min(max, toldAtNanos.size()));
        Iterator<Key> names = toldAtNanos.keySet().iterator();
        while (taken.size() < max && names.hasNext()) {
            byte[] name = names.next().name();
            names.remove();
            bytes -= name.length + ENTRY_BYTES;
            taken.add(name);
        }
        return taken;
    }

    /** Whether a note that the link ends was told, since this was asked last. */
    synchronized boolean takeNoteTold() {
        boolean told = noteTold;
        noteTold = false;
        return told;
    }

    synchronized boolean isEverything() {
        return everything;
    }

    synchronized int size() {
        return toldAtNanos.size();
    }

    /** Since when something has been told that was not taken; empty where all was. */
    synchronized OptionalLong sinceNanos() {
        if (everything) {
            return OptionalLong.of(everythingSinceNanos);
        }
        Iterator<Long> times = toldAtNanos.values().iterator();
        return times.hasNext() ? OptionalLong.of(times.next()) : OptionalLong.empty();
    }

    /** Ends a wait. */
    void wake() {
        if (work.availablePermits() == 0) {
            work.release();
        }
    }

    /** Waits until there is something to do, or may be. */
    void await(Duration limit) throws InterruptedException {
        if (work.tryAcquire(limit.toNanos(), TimeUnit.NANOSECONDS)) {
            work.drainPermits();
        }
    }
}
