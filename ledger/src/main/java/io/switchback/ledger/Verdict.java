package io.switchback.ledger;

/** What the parties of a switch come to. */
public enum Verdict {
    COMMIT,
    ABORT
}
