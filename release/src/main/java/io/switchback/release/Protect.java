package io.switchback.release;

/** What an acknowledged write has reached while the way back is open. */
public enum Protect {
    /** The fleet in use; the other one follows. */
    ASYNC,
    /** Both fleets. */
    SYNC
}
