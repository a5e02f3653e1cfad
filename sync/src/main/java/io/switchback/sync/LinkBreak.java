package io.switchback.sync;

/** What has become of the two sides of a link that cannot go on. */
public enum LinkBreak {
    /** They are out of step, and a new copy puts them in step again. What the target has is what it had, but for what the break is about. */
    OUT_OF_STEP,
    /** As {@link #OUT_OF_STEP}; and the target is known not to have what it had: it was emptied, or has come back without its data. */
    TARGET_LOST,
    /** As {@link #OUT_OF_STEP}; and the source, a single server, was started again or replaced, and may not have all that the target has. */
    SOURCE_SET_BACK,
    /** The target does not follow any more, and nobody knows whether somebody has it so on purpose: a new copy would put them in step, and is for a person to ask for. */
    LED_AWAY,
    /** A new copy would not help, or not be this owner's to make. */
    FINAL
}
