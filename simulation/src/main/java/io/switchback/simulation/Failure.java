package io.switchback.simulation;

/** What a server, a node or a step says when it did not do what it was asked: an ordinary event here, so without a stack. */
final class Failure extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** What kind. */
    enum Code {
        /** No answer; what was asked may or may not have happened, or may happen later. */
        UNREACHABLE,
        /** The server itself refused, and nothing was changed. */
        REFUSED,
        /** A step found something else than it needs. */
        STEP_FAILED
    }

    private final Code code;

    Failure(Code code, String message) {
        super(message, null, false, false);
        this.code = code;
    }

    Code code() {
        return code;
    }
}
