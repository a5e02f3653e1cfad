package io.switchback.simulation;

/** Where a link begins: both sides are equal at these offsets of these histories. */
record Base(String sourceId, long sourceOffset, String targetId, long targetOffset) {
    /** The same under the id that its source has now, if that knows the old one as its second. */
    Base afterPromotion(SimServer source) {
        return source.secondId().equals(sourceId) ? new Base(source.id(), sourceOffset, targetId, targetOffset) : this;
    }

    Base moved(int items) {
        return new Base(sourceId, sourceOffset + items, targetId, targetOffset);
    }
}
