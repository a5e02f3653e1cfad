package io.switchback.ledger;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * What the ledger holds at a path.
 *
 * @param path such as {@code routes/sessions}
 * @param value a copy of the caller's own
 * @param version 0 when the entry was created, one more with every change since
 */
public record Entry(String path, byte[] value, long version) {
    /** The value as UTF-8 text. */
    public String text() {
        return new String(value, StandardCharsets.UTF_8);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Entry that
                && path.equals(that.path)
                && version == that.version
                && Arrays.equals(value, that.value);
    }

    @Override
    public int hashCode() {
        return 31 * path.hashCode() + Long.hashCode(version);
    }

    @Override
    public String toString() {
        return "Entry[" + path + ", version " + version + ", " + value.length + " bytes]";
    }
}
