package io.switchback.commit;

/** How durable a new state must be before its party goes on. */
public enum Durability {
    /** Nothing is logged: after a crash the party is where it was logged before, or where the ledger says, and no worse off. */
    NONE,
    /** Logged, waiting for nobody: the record may be lost, and then costs a question to the register or to a party. */
    LAZY,
    /** Logged and forced to the disk first: somebody may rely on it as soon as the party goes on. */
    FORCED
}
