package io.switchback.release;

/** How the parties of a switch reach their one decision. */
public enum CommitProtocol {
    TWO_PHASE,
    THREE_PHASE
}
