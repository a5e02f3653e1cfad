package io.switchback.fleet;

/** A user and the password that proves it. Its text form never shows the password. */
public record Credential(String user, String password) {
    /** The user that a server takes a client for that names none. */
    public static final String DEFAULT_USER = "default";

    @Override
    public String toString() {
        return "Credential[" + user + "]";
    }
}
