package io.switchback.ledger;

/** What became of a transaction. */
public sealed interface Outcome {
    /** All of it is in the ledger, durably. */
    record Done() implements Outcome {}

    /** None of it is: {@code failed} did not find what it needs, and {@code why} says what it found. */
    record Conflict(Operation failed, String why) implements Outcome {}
}
