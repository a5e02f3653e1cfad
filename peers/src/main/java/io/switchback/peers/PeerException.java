package io.switchback.peers;

/** A question to another node has no answer. It may have been heard all the same, unless the code says otherwise. */
public final class PeerException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** Why, for programs. */
    public enum Code {
        /** No node of that name is known, it cannot be connected to, or it does not know the secret. It was not asked. */
        UNREACHABLE,
        /** The connection broke before the answer. */
        LOST,
        /** No answer within the limit. */
        TIMED_OUT,
        /** The node could not answer, and says why. */
        FAILED
    }

    private final Code code;

    public PeerException(Code code, String message) {
        super(message);
        this.code = code;
    }

    public Code code() {
        return code;
    }
}
