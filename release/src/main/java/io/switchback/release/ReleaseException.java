package io.switchback.release;

/** A release cannot do what it was asked. The message says what, where and what to do next. */
public final class ReleaseException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** What kind of refusal, for programs. */
    public enum Code {
        /** The release, cache or fleet is not known here. */
        UNKNOWN,
        /** Another release has the cache. */
        BUSY,
        /** Not in this step. */
        NOT_NOW,
        /** A step found that it cannot succeed. */
        STEP_FAILED
    }

    private final Code code;

    public ReleaseException(Code code, String message) {
        super(message);
        this.code = code;
    }

    public Code code() {
        return code;
    }
}
