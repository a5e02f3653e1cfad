package io.switchback.sync.verify;

/** Keys as a person reads them. */
final class KeyText {
    private static final int LENGTH_MAX = 200;

    private KeyText() {}

    /** Printable ASCII as it is, the rest as {@code \xHH}; cut where it is long. */
    static String of(byte[] key) {
        StringBuilder text = new StringBuilder();
        for (byte b : key) {
            if (text.length() > LENGTH_MAX) {
                return text.append("...").toString();
            }
            if (b >= 0x20 && b < 0x7f && b != '\\') {
                text.append((char) b);
            } else {
                text.append(String.format("\\x%02x", b & 0xff));
            }
        }
        return text.toString();
    }
}
