package io.switchback.sync.verify;

/**
 * One key that is not the same on both sides, and stayed so while the source's value did not change.
 *
 * @param key readable: bytes that are no printable ASCII as {@code \xHH}; where the target has another name for it, by both
 * @param what for a person: what the source has, what the target has
 */
public record Difference(int database, String key, Kind kind, String what) {

    /** In what the two sides differ. */
    public enum Kind {
        /** The target lacks the key. */
        MISSING,
        /** Only the target has the key. */
        EXTRA,
        TYPE,
        VALUE,
        TIME_TO_LIVE
    }
}
