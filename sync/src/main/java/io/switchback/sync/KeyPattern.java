package io.switchback.sync;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayOutputStream;

/**
 * A pattern of keys' names as KEYS and SCAN MATCH take it, over bytes: {@code *}, {@code ?}, {@code [a-z]}, {@code [^a]}, and {@code \} in front of what stands for itself (the servers' {@code
 * stringmatchlen}). Immutable.
 *
 * <p>It takes no more than the product of both lengths in steps, where the servers' own takes exponentially many.
 */
final class KeyPattern {
    private static final int NONE = -1;

    private final byte[] pattern;

    KeyPattern(String text) {
        this.pattern = text.getBytes(UTF_8);
    }

    boolean matches(byte[] name) {
        int at = 0;
        int in = 0;
        int afterStar = NONE;
        int retry = 0;
        while (in < name.length) {
            if (at < pattern.length && pattern[at] == '*') {
                afterStar = ++at;
                retry = in;
                continue;
            }
            int next = at < pattern.length ? one(at, name[in]) : NONE;
            if (next != NONE) {
                at = next;
                in++;
            } else if (afterStar != NONE) {
                at = afterStar;
                in = ++retry;
            } else {
                return false;
            }
        }
        while (at < pattern.length && pattern[at] == '*') {
            at++;
        }
        return at == pattern.length;
    }

    /** Where the pattern goes on, if what stands at {@code at} matches this byte. */
    private int one(int at, byte b) {
        return switch (pattern[at]) {
            case '?' -> at + 1;
            case '[' -> list(at + 1, b);
            case '\\' -> {
                int literal = at + 1 < pattern.length ? at + 1 : at;
                yield pattern[literal] == b ? literal + 1 : NONE;
            }
            default -> pattern[at] == b ? at + 1 : NONE;
        };
    }

    /** A list that is not closed ends with the pattern, as the servers have it. */
    private int list(int first, byte b) {
        int at = first;
        boolean not = at < pattern.length && pattern[at] == '^';
        if (not) {
            at++;
        }
        int wanted = b & 0xff;
        boolean found = false;
        while (at < pattern.length && pattern[at] != ']') {
            if (pattern[at] == '\\' && at + 1 < pattern.length) {
                found |= pattern[at + 1] == b;
                at += 2;
            } else if (at + 2 < pattern.length && pattern[at + 1] == '-') {
                int one = pattern[at] & 0xff;
                int other = pattern[at + 2] & 0xff;
                found |= wanted >= Math.min(one, other) && wanted <= Math.max(one, other);
                at += 3;
            } else {
                found |= pattern[at] == b;
                at++;
            }
        }
        return found == not ? NONE : Math.min(at + 1, pattern.length);
    }

    /** What every name begins with that it matches. */
    byte[] beginning() {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        for (int at = 0; at < pattern.length && !isSpecial(at); at++) {
            if (pattern[at] == '\\' && at + 1 < pattern.length) {
                at++;
            }
            bytes.write(pattern[at]);
        }
        return bytes.toByteArray();
    }

    private boolean isSpecial(int at) {
        return pattern[at] == '*' || pattern[at] == '?' || pattern[at] == '[';
    }

    /** Whether it matches one name alone, its {@link #beginning}. */
    boolean isOneName() {
        return beginningEnds() == pattern.length;
    }

    /** Whether it matches every name with its {@link #beginning}. */
    boolean isEveryNameSoBegun() {
        int end = beginningEnds();
        if (end == pattern.length) {
            return false;
        }
        for (int at = end; at < pattern.length; at++) {
            if (pattern[at] != '*') {
                return false;
            }
        }
        return true;
    }

    private int beginningEnds() {
        int at = 0;
        while (at < pattern.length && !isSpecial(at)) {
            at += pattern[at] == '\\' && at + 1 < pattern.length ? 2 : 1;
        }
        return at;
    }
}
