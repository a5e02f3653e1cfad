package io.switchback.sync.rdb;

import static java.nio.charset.StandardCharsets.US_ASCII;

import org.jspecify.annotations.Nullable;

/** Scores of sorted sets as text from which every server makes the same number again. */
final class Scores {
    static final byte[] INFINITE = "inf".getBytes(US_ASCII);
    static final byte[] MINUS_INFINITE = "-inf".getBytes(US_ASCII);

    /** Below it every whole number is its own, and its decimal digits say it. */
    private static final double WHOLE_MAX = 1L << 53;

    private Scores() {}

    /** The shortest text that gives the same number, or null for what is none: no command sets that. */
    static byte @Nullable [] text(double score) {
        if (Double.isNaN(score)) {
            return null;
        }
        if (Double.isInfinite(score)) {
            return score > 0 ? INFINITE : MINUS_INFINITE;
        }
        boolean whole = score == Math.rint(score) && Math.abs(score) < WHOLE_MAX;
        boolean minusZero = score == 0 && Double.doubleToRawLongBits(score) != 0;
        return (whole && !minusZero ? Long.toString((long) score) : Double.toString(score)).getBytes(US_ASCII);
    }

    /** Whether this text of a score is a number; the servers write one that is none as "nan" or "-nan". */
    static boolean isNumber(byte[] text) {
        for (byte letter : text) {
            if (letter == 'a' || letter == 'A') {
                return false;
            }
        }
        return true;
    }
}
