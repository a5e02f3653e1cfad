package io.switchback.proxy;

/** What becomes of replies to writes while the other fleet does not confirm them. */
public enum OnStall {
    /** They are kept, and clients wait. */
    HOLD,
    /** They are given out unconfirmed, loudly, until the other fleet has caught up. */
    ASYNC
}
