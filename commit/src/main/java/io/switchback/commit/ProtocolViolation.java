package io.switchback.commit;

/**
 * Something happened that cannot happen, whatever messages do: a mistake of this program, or two registers where there must be one. An
 * error and not an exception, so that nobody handles it: going on could make two fleets take writes.
 */
public final class ProtocolViolation extends AssertionError {
    private static final long serialVersionUID = 1;

    ProtocolViolation(String who, Object state, Object event) {
        super("The " + who + " was in " + state + " and met " + event + ", which cannot be. Nothing was done.");
    }
}
