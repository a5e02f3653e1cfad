package io.switchback.server;

/** A node cannot start or serve. The message says what, where and what to do next. */
public final class NodeException extends RuntimeException {
    private static final long serialVersionUID = 1;

    public NodeException(String message) {
        super(message);
    }

    public NodeException(String message, Throwable cause) {
        super(message, cause);
    }
}
