package io.switchback.fleet.dialect;

import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * Finds something by a command's name in any case, without allocating: an open hash table over the name's bytes. Filled by
 * one thread, then only read, by any.
 */
final class NameIndex<T> {
    /** More than twice as many as there are commands; the table does not grow. */
    private static final int SLOTS = 2048;

    private static final int NAMES_MAX = SLOTS / 2;

    private final @Nullable String[] names = new String[SLOTS];
    private final @Nullable Object[] entries = new Object[SLOTS];
    private int size;

    /** {@code name} in upper case; each once. */
    void put(String name, T entry) {
        if (!name.equals(name.toUpperCase(Locale.ROOT)) || ++size > NAMES_MAX) {
            throw new AssertionError("not upper case, or more than " + NAMES_MAX + " names: " + name);
        }
        byte[] bytes = Words.bytes(name);
        int slot = hash(bytes);
        for (String taken = names[slot]; taken != null; taken = names[slot]) {
            if (taken.equals(name)) {
                throw new AssertionError("two entries for " + name);
            }
            slot = slot + 1 & SLOTS - 1;
        }
        names[slot] = name;
        entries[slot] = entry;
    }

    /** What was put under that name, or null. */
    @SuppressWarnings("unchecked") // only T is ever put
    @Nullable
    T find(byte[] name) {
        int slot = hash(name);
        for (String candidate = names[slot]; candidate != null; candidate = names[slot]) {
            if (Words.is(name, candidate)) {
                return (T) entries[slot];
            }
            slot = slot + 1 & SLOTS - 1;
        }
        return null;
    }

    private static int hash(byte[] name) {
        int hash = 0;
        for (byte letter : name) {
            hash = hash * 31 + Words.upper(letter);
        }
        return (hash ^ hash >>> 11) & SLOTS - 1;
    }
}
