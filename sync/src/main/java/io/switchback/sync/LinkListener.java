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

    /** The link cannot go on, and will not try: what a target has is as it was. */
    void broken(String why);
}
