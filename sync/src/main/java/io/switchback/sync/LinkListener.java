package io.switchback.sync;

/** What a link tells its owner, on the link's threads: be quick, and do not call back into {@link RelayLink#close}. */
public interface LinkListener {

    /** The target has the whole copy and follows the stream: from here on the link can resume. Write it down. */
    void based(LinkBase base);

    /** The source calls its history by another id now (it was promoted): resuming later needs it. Write it down. */
    void sourceIdChanged(String id);

    /** The snapshot that passed through is on disk, checked and synced. */
    void copied(BackupManifest manifest);

    /**
     * Why whoever runs the link may not do so any more; empty where he may. A {@link RuntimeException} where that cannot be said now: then it is asked again. Asked
     * before anything is sent to the target over new connections.
     */
    default String whyNotStanding() {
        return "";
    }

    /**
     * Why the target cannot be what it was where both sides were equal; empty where it can. A {@link RuntimeException} where that cannot be said now. Asked over new connections, before anything is sent, as
     * long as the target has no mark of a link that was opened at such a point: it may have lost its data before there was one.
     */
    default String whyTargetLost() {
        return "";
    }

    /** The link cannot go on, and will not try. Nothing of it is sent any more. */
    void broken(LinkBreak kind, String why);
}
