package io.switchback.sync;

/** The link cannot go on, now or later; the message says why, for a person. */
public final class BrokenLinkException extends Exception {
    private static final long serialVersionUID = 1;

    public BrokenLinkException(String message) {
        super(message);
    }

    public BrokenLinkException(String message, Throwable cause) {
        super(message, cause);
    }
}
