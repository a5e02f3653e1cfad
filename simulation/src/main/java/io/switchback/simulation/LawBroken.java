package io.switchback.simulation;

/** One of the laws does not hold; the message begins with its name. */
public final class LawBroken extends RuntimeException {
    private static final long serialVersionUID = 1;

    LawBroken(String message) {
        super(message);
    }
}
