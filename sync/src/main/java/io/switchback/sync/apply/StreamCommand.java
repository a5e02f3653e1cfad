package io.switchback.sync.apply;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.util.Locale;

/**
 * One command of a source's stream.
 *
 * @param words none for an empty line, which keeps a connection alive
 * @param keys  which of the words are keys
 * @param end   the offset behind it
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
record StreamCommand(byte[][] words, int[] keys, long end) {
    /** In capitals; "" for an empty line. */
    String name() {
        return words.length == 0 ? "" : word(0);
    }

    /** As text, in capitals; "" where there is none. */
    String word(int i) {
        return i < words.length ? new String(words[i], US_ASCII).toUpperCase(Locale.ROOT) : "";
    }
}
