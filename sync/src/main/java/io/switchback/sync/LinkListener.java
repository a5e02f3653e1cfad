package io.switchback.sync;

/** What a link tells its owner, on the link's threads: be quick, and do not call back into {@link RelayLink#close}. */
public interface LinkListener {

    /** The target has the whole copy and follows the stream: from here on the link can resume. Write it down. */
    void based(LinkBase base);

    /** The source calls its history by another id now (it was promoted): resuming later needs it. Write it down. */
    void sourceIdChanged(String id);

    /** The snapshot that passed through is on disk, checked and synced. */
    void copied(BackupManifest manifest);

    /** The link cannot go on, and will not try: what a target has is as it was. */
    void broken(String why);
}
