package io.switchback.commit;

/** By which protocol the parties of a switch agree; all of them by the same. */
public enum Protocol {
    /** Prepare, then the register. A participant that hears nothing tries to record ABORT. */
    TWO_PHASE,
    /**
     * Prepare, pre-commit, then the register. Participants that hear nothing end it among themselves, and with COMMIT where
     * somebody is pre-committed; the register has the last word here too.
     */
    THREE_PHASE
}
