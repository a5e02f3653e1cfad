package io.switchback.sync;

/** Whether a source would go on with its stream from some point. */
public sealed interface ProbeResult {

    /** It would, and did when tried; {@code id} is what it calls its history now. */
    record Continues(String id) implements ProbeResult {}

    /** It would not: a link from there would need a full copy. */
    record NeedsCopy(String why) implements ProbeResult {}

    /** It cannot be said now. */
    record Unknown(String why) implements ProbeResult {}
}
