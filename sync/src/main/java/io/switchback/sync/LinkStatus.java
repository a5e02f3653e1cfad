package io.switchback.sync;

import io.switchback.sync.source.CopyPace;
import org.jspecify.annotations.Nullable;

/**
 * Where a link stands, at one moment.
 *
 * @param sourceOffset        up to where the source's stream was received
 * @param appliedSourceOffset up to where the target is known to have applied it
 * @param lagBytes            what the source has written and the target is not known to have applied; -1 where that is not
 *                            known: the target holds something else, or the source keeps no backlog and so does not count
 * @param lagMillis           for how long the source has had something that the target is not known to have applied
 * @param copiedBytes         of the snapshot that is passing or has passed
 * @param copyBytesTotal      of the snapshot; -1 where the source does not say (diskless)
 * @param detail              what a person wants to know about it; "" where there is nothing to say
 * @param copySpeed           of the copy that is under way
 */
public record LinkStatus(
        Phase phase,
        long sourceOffset,
        long appliedSourceOffset,
        long lagBytes,
        long lagMillis,
        long copiedBytes,
        long copyBytesTotal,
        String detail,
        Speed copySpeed) {

    /** Of a link that copies nothing. */
    public LinkStatus(
            Phase phase,
            long sourceOffset,
            long appliedSourceOffset,
            long lagBytes,
            long lagMillis,
            long copiedBytes,
            long copyBytesTotal,
            String detail) {
        this(
                phase,
                sourceOffset,
                appliedSourceOffset,
                lagBytes,
                lagMillis,
                copiedBytes,
                copyBytesTotal,
                detail,
                Speed.NONE);
    }

    /**
     * How fast a copy goes.
     *
     * @param bytesPerSecond    lately
     * @param bytesPerSecondMax as many as it may take now
     * @param bytesAtMost       of the snapshot: what the source's data take in its memory, which a snapshot is below; -1 where that is not known
     */
    public record Speed(long bytesPerSecond, long bytesPerSecondMax, long bytesAtMost) {
        /** Of no copy. */
        public static final Speed NONE = new Speed(0, 0, -1);

        /** Of a copy that goes at that pace; without one, of none. */
        public static Speed of(@Nullable CopyPace pace, long bytesAtMost) {
            return pace == null ? NONE : new Speed(pace.bytesPerSecond(), pace.bytesPerSecondMax(), bytesAtMost);
        }
    }

    /** What the link is doing. */
    public enum Phase {
        /** The face answers "not yet" to everybody. */
        CLOSED_TO_TARGET,
        /** The target may attach, and has not, or the source does not answer. */
        WAITING_FOR_TARGET,
        /** The snapshot passes. */
        COPYING,
        /** The stream passes. */
        STREAMING,
        /** It cannot go on; the detail says why. */
        BROKEN,
        /** By its owner. */
        CLOSED
    }
}
