package io.switchback.sync;

import java.io.IOException;

/** The target cannot be served now and should come again; the message says why. */
final class NotYetException extends IOException {
    private static final long serialVersionUID = 1;

    NotYetException(String message) {
        super(message);
    }
}
