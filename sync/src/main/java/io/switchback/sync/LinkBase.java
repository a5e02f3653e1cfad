package io.switchback.sync;

/**
 * A point at which both sides of a link hold the same data, each in its own counting: the link's identity, and all that a
 * relay which was killed needs in order to go on.
 *
 * @param sourceId     the source's replication id
 * @param sourceOffset up to where the source's stream is in the data
 * @param targetId     the target's replication id; it keeps it for as long as it follows the link
 * @param targetOffset what the target calls the same point
 */
public record LinkBase(String sourceId, long sourceOffset, String targetId, long targetOffset) {
    /** The same point, where the source has come to call its history by another id. */
    LinkBase withSourceId(String id) {
        return new LinkBase(id, sourceOffset, targetId, targetOffset);
    }
}
