package io.switchback.proxy;

import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * What one client has seen of one primary and its replicas, and where it reads on: of the fleet in use, or of one shard of a cluster. {@link Replicas} says why that
 * suffices.
 *
 * <p>Owned by its session's event loop.
 */
final class ReadPlace {
    /** A client that a replica could not answer so many commands of one part stays away for so long: each of them was asked for twice. */
    private static final int LEFT_MAX = 4;

    private static final long AWAY_NANOS = TimeUnit.SECONDS.toNanos(1);

    /** Whether, and when, it had its last answer. */
    private boolean hasSeen;

    private long seenNanos;
    /** Over which its last answer came, where that leads to a replica. */
    private @Nullable BackendConnection over;

    private long choseNanos;
    /** It waits for a replica to have what it has seen; since when it has waited for the last time, if it has. */
    private boolean waits;

    private boolean hasWaited;
    private long waitedNanos;
    private boolean isAway;
    private long awaySinceNanos;

    // Of what is being put together to be sent to the shards of a cluster.
    private int batch;
    private @Nullable BackendConnection chosen;
    private int atPrimary;

    /** An answer has come, over a connection to that replica; null where it came from elsewhere. */
    void seen(long now, @Nullable BackendConnection overReplica) {
        hasSeen = true;
        seenNanos = now;
        over = overReplica;
    }

    /** What the client has seen without anybody knowing of which shard it was, counts here too. */
    void seenAlso(ReadPlace all) {
        if (all.hasSeen && (!hasSeen || all.seenNanos - seenNanos >= 0)) {
            seen(all.seenNanos, null);
        }
    }

    /** So many commands of one part the replica could not answer. */
    void left(int commands, long now) {
        if (commands > LEFT_MAX) {
            isAway = true;
            awaySinceNanos = now;
        }
    }

    /** It waits for a replica to have what it has seen; it is resumed soon. */
    boolean waits() {
        return waits;
    }

    void waitsNoLonger() {
        waits = false;
    }

    /** The connection to a replica over which the next read goes; null where it goes to the primary, or {@link #waits}. {@code mayChange}: nothing of the client's is unanswered. */
    @Nullable
    BackendConnection choose(ClientSession session, Replicas replicas, boolean mayChange, long now) {
        boolean waited = waits;
        waits = false;
        if (isAway) {
            if (now - awaySinceNanos < AWAY_NANOS) {
                return null;
            }
            isAway = false;
        }
        BackendConnection here = over;
        boolean mayStay = here != null && replicas.mayStay(here, now);
        if (mayStay && !Replicas.mayChooseAnew(choseNanos, now)) {
            return here;
        }
        BackendConnection other = mayChange ? replicas.choose(session, hasSeen, seenNanos, now) : null;
        if (other != null) {
            choseNanos = now;
            return other;
        }
        boolean waitsOn = waited && now - waitedNanos < Replicas.CROSSING_NANOS;
        boolean mayWait = !waited && replicas.mayWait(hasWaited, waitedNanos, now);
        if (waitsOn || (mayWait && replicas.isWorthWaiting(session, mayStay ? here : null, now))) {
            waits = true;
            hasWaited = true;
            waitedNanos = waitsOn ? waitedNanos : now;
            replicas.await(session);
            return null;
        }
        choseNanos = now;
        return mayStay ? here : null;
    }

    // --- what is being put together

    /** Whether it is known already where reads of that batch go. */
    boolean isChosenFor(int number) {
        return batch == number;
    }

    void choose(int number, @Nullable BackendConnection connection) {
        batch = number;
        chosen = connection;
        atPrimary = 0;
    }

    /** Where they go; null for the primary. */
    @Nullable
    BackendConnection chosen() {
        return chosen;
    }

    void goesToPrimary() {
        atPrimary++;
    }

    /** So many reads of the batch went to the primary. */
    int takeAtPrimary() {
        int count = atPrimary;
        atPrimary = 0;
        return count;
    }
}
