package io.switchback.config;

/**
 * A password or token that a file names ({@code env:NAME}, {@code file:PATH}) or holds. Its text form says where it came
 * from and never what it is.
 */
public final class Secret {
    private final String origin;
    private final String value;

    private Secret(String origin, String value) {
        this.origin = origin;
        this.value = value;
    }

    /** A secret that came from {@code origin}, such as {@code env:BLUE_PASSWORD}. */
    static Secret from(String origin, String value) {
        return new Secret(origin, value);
    }

    /** A secret given in the clear. */
    public static Secret of(String value) {
        return new Secret("in the clear", value);
    }

    /** The secret itself. What takes it must not log it. */
    public String reveal() {
        return value;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Secret that && value.equals(that.value);
    }

    @Override
    public int hashCode() {
        return value.hashCode();
    }

    @Override
    public String toString() {
        return "Secret[" + origin + "]";
    }
}
