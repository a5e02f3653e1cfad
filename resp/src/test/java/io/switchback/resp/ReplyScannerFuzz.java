package io.switchback.resp;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

/** Any bytes: the scanner of replies finds what {@link ReferenceReplies} finds, in one piece and in many. For Jazzer, and for tests. */
public final class ReplyScannerFuzz {
    private static final int BYTES_MAX = 60_000;

    private ReplyScannerFuzz() {}

    /** What Jazzer calls. */
    public static void fuzzerTestOneInput(byte[] data) {
        byte[] bytes = data.length > BYTES_MAX ? Arrays.copyOf(data, BYTES_MAX) : data;
        List<String> expected = ReferenceReplies.decode(bytes);
        check(bytes, expected, bytes.length + 1, bytes.length + 1);
        check(bytes, expected, 1, 1);
        check(bytes, expected, 1, 20);
    }

    private static void check(byte[] bytes, List<String> expected, int pieceMin, int pieceMax) {
        List<String> found = scan(bytes, pieceMin, pieceMax);
        if (!found.equals(expected)) {
            throw new AssertionError("in pieces of " + pieceMin + " to " + pieceMax + " bytes: expected " + expected
                    + ", found " + found + " in " + new String(bytes, ISO_8859_1));
        }
    }

    private static List<String> scan(byte[] bytes, int pieceMin, int pieceMax) {
        Random random = new Random(Arrays.hashCode(bytes));
        ByteBuf in = Unpooled.wrappedBuffer(bytes);
        ReplyScanner scanner = new ReplyScanner();
        List<String> found = new ArrayList<>();
        int index = 0;
        int limit = 0;
        boolean failed = false;
        while (index < bytes.length) {
            if (index == limit) {
                limit = Math.min(bytes.length, limit + pieceMin + random.nextInt(pieceMax - pieceMin + 1));
            }
            boolean push = scanner.isPush(in, index);
            int end = push ? scanner.scanPush(in, index, limit) : scanner.scan(in, index, limit, 1);
            if (end == ReplyScanner.MALFORMED) {
                found.add("malformed");
                return found;
            }
            failed |= !push && scanner.errors() > 0;
            index = end;
            if (scanner.completed() > 0) {
                found.add((push ? "push" : failed ? "error" : "reply") + " up to " + index);
                failed = false;
            }
        }
        found.add("more");
        return found;
    }
}
