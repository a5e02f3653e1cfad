package io.switchback.resp;

import java.io.IOException;

/** The other side sent what RESP does not allow; the connection cannot be used any further. */
public final class ProtocolException extends IOException {
    public ProtocolException(String message) {
        super(message);
    }
}
