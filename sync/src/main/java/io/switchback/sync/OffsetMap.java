package io.switchback.sync;

/** What the two sides of a link call the same point of the stream. May be read from any thread. */
interface OffsetMap {
    /** For a source offset that has not been received yet, and can therefore not be told. */
    long NOT_YET = -1;

    /** The target's offset once it has applied everything up to {@code source}; {@link #NOT_YET} where that is to come. */
    long toTarget(long source);

    /** Up to where the source's stream is applied by a target that stands at {@code target}: never more than it has. */
    long toSource(long target);

    /** Bytes pass one to one. */
    record Constant(long targetMinusSource) implements OffsetMap {
        @Override
        public long toTarget(long source) {
            return source + targetMinusSource;
        }

        @Override
        public long toSource(long target) {
            return target - targetMinusSource;
        }
    }
}
