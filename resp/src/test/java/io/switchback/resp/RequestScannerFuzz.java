package io.switchback.resp;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;

/** Any bytes: the scanner of requests finds what {@link ReferenceRequests} finds, in one piece and in many. For Jazzer, and for tests. */
public final class RequestScannerFuzz {
    private static final int BYTES_MAX = 60_000;
    private static final int BULK_BYTES_MAX = 1024;
    private static final String MARK = "switchback:reserved:";

    private RequestScannerFuzz() {}

    /** What Jazzer calls. */
    public static void fuzzerTestOneInput(byte[] data) {
        byte[] bytes = data.length > BYTES_MAX ? Arrays.copyOf(data, BYTES_MAX) : data;
        List<String> expected = ReferenceRequests.decode(bytes, BULK_BYTES_MAX, MARK);
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
        RequestScanner scanner = new RequestScanner(BULK_BYTES_MAX, MARK);
        ByteBuf in = Unpooled.buffer(bytes.length + 1);
        List<String> found = new ArrayList<>();
        int offset = 0;
        int written = 0;
        while (written < bytes.length) {
            int piece = Math.min(bytes.length - written, pieceMin + random.nextInt(pieceMax - pieceMin + 1));
            in.writeBytes(bytes, written, piece);
            written += piece;
            for (RequestScanner.Outcome outcome = scanner.next(in, in.readerIndex());
                    outcome != RequestScanner.Outcome.INCOMPLETE;
                    outcome = scanner.next(in, in.readerIndex())) {
                if (outcome == RequestScanner.Outcome.MALFORMED) {
                    found.add(scanner.error());
                    return found;
                }
                found.add(shown(outcome, scanner, in) + " up to " + (offset + scanner.end()));
                in.readerIndex(scanner.end());
            }
            offset += in.readerIndex();
            in.discardReadBytes();
        }
        return found;
    }

    private static String shown(RequestScanner.Outcome outcome, RequestScanner scanner, ByteBuf in) {
        int from = in.readerIndex();
        return switch (outcome) {
            case COMMAND -> {
                List<String> arguments = texts(RequestScanner.copyArguments(in, from));
                String name = in.toString(from + scanner.nameOffset(), scanner.nameLength(), ISO_8859_1);
                if (!name.equals(arguments.getFirst()) || scanner.arguments() != arguments.size()) {
                    throw new AssertionError(name + "/" + scanner.arguments() + " is not " + arguments);
                }
                yield "command " + arguments + (scanner.marked() ? " marked" : "");
            }
            case INLINE -> {
                Optional<byte[][]> words = InlineCommand.split(in, from, scanner.end());
                yield "line " + (words.isPresent() ? texts(words.get()).toString() : "unbalanced");
            }
            case NOTHING -> "nothing";
            case INCOMPLETE, MALFORMED -> throw new AssertionError("not asked for");
        };
    }

    private static List<String> texts(byte[][] arguments) {
        return Arrays.stream(arguments)
                .map(argument -> new String(argument, ISO_8859_1))
                .toList();
    }
}
