package io.switchback.proxy;

import java.time.Duration;

/** How a hold ended. */
public sealed interface HoldOutcome {
    /** Nothing is sent any more and everything sent has been answered; {@code took} since it was asked for. */
    record Held(Duration took) implements HoldOutcome {}

    /** It was not done within its limit, and has been undone: commands flow on the old route. {@code why} names what was not answered. */
    record Failed(String why) implements HoldOutcome {}
}
