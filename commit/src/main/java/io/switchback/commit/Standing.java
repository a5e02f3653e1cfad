package io.switchback.commit;

/** Where a participant says that it stands in a switch when a peer asks. */
public enum Standing {
    /** No yes was given, and the register has said nothing here: not asked yet, still holding, or aborted alone. */
    NOT_VOTED,
    /** It has voted yes, or may have. Whatever it wishes by now is its own affair. */
    PREPARED,
    /** It knows that all have voted yes and the fence stands; who says so brings what PreCommit brought along. */
    PRE_COMMITTED,
    /** The register has said so: a known outcome, never a wish. */
    COMMITTED,
    /** The register has said so: a known outcome, never a wish. */
    ABORTED
}
