package io.switchback.ledger;

/** The ledger could not do what it was asked. The message says what happened, where, and what to do next. */
public final class LedgerException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** What kind of failure, for programs. */
    public enum Code {
        /** A path, a value, a transaction or the ledger as a whole would pass its limit. Nothing was changed. */
        LIMIT,
        /** Storage refused (a full disk, say). Nothing was changed, and the ledger goes on. */
        STORAGE,
        /**
         * Storage failed such that nobody knows what is on it. The transaction <em>may or may not</em> be there: reopen the
         * ledger and read. Until then it refuses every transaction; reads go on from what is known to be durable.
         */
        BROKEN,
        /** What is stored is not what was written. Nothing is guessed. */
        DAMAGED,
        /** Another process, or another part of this one, has the ledger open. */
        LOCKED,
        /** Written by a newer version of Switchback. */
        NEWER_VERSION,
        /** What belongs together in one transaction did not find what it needs, so nothing was changed. */
        CONFLICT,
        /**
         * No quorum answered within the limit. Of a read nothing is known. A transaction <em>may or may not</em> be there: read once the
         * ledger answers again. It cannot take effect later than that: what was not in the ledger when the next call of the same object
         * succeeded never will be ({@link ZooKeeperLedger} says why).
         */
        UNREACHABLE,
        /** The ledger was opened for reading only. */
        READ_ONLY,
        /** What was written rests on a claim that somebody else has taken over. Nothing was changed. */
        SUPERSEDED,
        /** The ledger was closed before. */
        CLOSED
    }

    private final Code code;

    public LedgerException(Code code, String message) {
        super(message);
        this.code = code;
    }

    public LedgerException(Code code, String message, Throwable cause) {
        super(message, cause);
        this.code = code;
    }

    public Code code() {
        return code;
    }
}
