package io.switchback.proxy;

import org.jspecify.annotations.Nullable;

/**
 * Decides which commands must not be sent, such as those that the way back could not carry.
 *
 * <p>While it is set it is called on the event loops for every command of every client that is not known only to read
 * ({@link io.switchback.resp.CommandRule#repeatable}); it must not block or change the arrays.
 */
@FunctionalInterface
public interface CommandGuard {
    /** Null where the command may be sent, else why not, as the client is told it: one line, without {@code -}. */
    @Nullable
    String refusal(byte[][] command);
}
