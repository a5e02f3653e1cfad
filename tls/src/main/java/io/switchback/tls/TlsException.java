package io.switchback.tls;

/** A certificate, a key or an authority that cannot be used. The message says which file, what is wrong with it, and what to do next. */
public final class TlsException extends RuntimeException {
    private static final long serialVersionUID = 1;

    public TlsException(String message) {
        super(message);
    }

    public TlsException(String message, Throwable cause) {
        super(message, cause);
    }
}
