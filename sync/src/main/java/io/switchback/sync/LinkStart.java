package io.switchback.sync;

import java.nio.file.Path;
import java.util.Optional;

/** What a link begins with. */
public sealed interface LinkStart {

    /**
     * The target takes a full copy of the source and loses what it had.
     *
     * @param backupFolder where the snapshot that passes through is also written, if anywhere
     */
    record FullCopy(Optional<Path> backupFolder) implements LinkStart {}

    /** Both sides are equal at {@code base}: never a copy, only the stream. */
    record From(LinkBase base) implements LinkStart {}

    /** As {@link From}, where the link was there before: a target that has no mark of it any more has lost its data, and the link is broken. */
    record Again(LinkBase base) implements LinkStart {}

    /** As {@link From}, but the base is known only later: {@link RelayLink#admit(LinkBase)} says it. */
    record Later() implements LinkStart {}
}
