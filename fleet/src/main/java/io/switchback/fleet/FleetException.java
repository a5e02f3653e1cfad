package io.switchback.fleet;

/**
 * A server could not be reached, or did not do what it was asked. The message says which server, what was asked, what it
 * answered and what to do next.
 */
public final class FleetException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** What kind of failure, for programs. */
    public enum Code {
        /** No connection, or it broke, or no answer in time: what was asked may or may not have happened. */
        UNREACHABLE,
        /** The server did not accept the user or password. */
        UNAUTHORIZED,
        /** The server answered with an error. */
        REFUSED
    }

    private final Code code;

    public FleetException(Code code, String message) {
        super(message);
        this.code = code;
    }

    public FleetException(Code code, String message, Throwable cause) {
        super(message, cause);
        this.code = code;
    }

    public Code code() {
        return code;
    }
}
