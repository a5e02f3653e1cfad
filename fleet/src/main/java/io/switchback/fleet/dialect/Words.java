package io.switchback.fleet.dialect;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.util.Locale;

/** Reads the words of a command as the servers do: names and options in upper or lower case, numbers in decimal. */
final class Words {
    /** No command's name is longer. */
    static final int NAME_BYTES_MAX = 64;

    private Words() {}

    /** Whether {@code word} is {@code upper} in any case. */
    static boolean is(byte[] word, String upper) {
        if (word.length != upper.length()) {
            return false;
        }
        for (int i = 0; i < word.length; i++) {
            if (upper(word[i]) != upper.charAt(i)) {
                return false;
            }
        }
        return true;
    }

    static int upper(byte letter) {
        return letter >= 'a' && letter <= 'z' ? letter - ('a' - 'A') : letter & 0xff;
    }

    /** The word in upper case, for a message; a long one is cut. */
    static String text(byte[] word) {
        int lengthMax = NAME_BYTES_MAX;
        String text = new String(word, 0, Math.min(word.length, lengthMax), ISO_8859_1).toUpperCase(Locale.ROOT);
        return word.length > lengthMax ? text + "..." : text;
    }

    /** The number that {@code word} is, or {@link Long#MIN_VALUE} where it is none that a server would take. */
    static long number(byte[] word) {
        int digitsMax = 18;
        boolean negative = word.length > 0 && word[0] == '-';
        int from = negative ? 1 : 0;
        if (word.length == from || word.length - from > digitsMax) {
            return Long.MIN_VALUE;
        }
        long number = 0;
        for (int i = from; i < word.length; i++) {
            int digit = word[i] - '0';
            if (digit < 0 || digit > 9) {
                return Long.MIN_VALUE;
            }
            number = number * 10 + digit;
        }
        return negative ? -number : number;
    }

    static byte[] bytes(String text) {
        return text.getBytes(ISO_8859_1);
    }

    static byte[] bytes(long number) {
        return bytes(Long.toString(number));
    }
}
