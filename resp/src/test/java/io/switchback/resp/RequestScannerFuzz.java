package io.switchback.resp;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import org.jspecify.annotations.Nullable;

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
        check(bytes, expected, 1, BULK_BYTES_MAX);
    }

    private static void check(byte[] bytes, List<String> expected, int pieceMin, int pieceMax) {
        for (boolean passesOn : new boolean[] {false, true}) {
            List<String> found = scan(bytes, pieceMin, pieceMax, passesOn);
            if (!found.equals(expected)) {
                throw new AssertionError(
                        "in pieces of " + pieceMin + " to " + pieceMax + " bytes" + (passesOn ? ", passed on" : "")
                                + ": expected " + expected + ", found " + found + " in "
                                + new String(bytes, ISO_8859_1));
            }
        }
    }

    /** {@code passesOn}: wherever the scanner stops within an argument, the rest of the command is gone through in pieces. */
    private static List<String> scan(byte[] bytes, int pieceMin, int pieceMax, boolean passesOn) {
        Random random = new Random(Arrays.hashCode(bytes));
        RequestScanner scanner = new RequestScanner(BULK_BYTES_MAX, MARK);
        ByteBuf in = Unpooled.buffer(bytes.length + 1);
        List<String> found = new ArrayList<>();
        CommandInPieces rest = null;
        ByteBuf passed = Unpooled.buffer();
        int offset = 0;
        int written = 0;
        while (written < bytes.length) {
            int piece = Math.min(bytes.length - written, pieceMin + random.nextInt(pieceMax - pieceMin + 1));
            in.writeBytes(bytes, written, piece);
            written += piece;
            if (rest != null) {
                String ended = pass(rest, in, passed);
                if (ended == null) {
                    offset += in.readerIndex();
                    in.discardReadBytes();
                    continue;
                }
                rest = null;
                if (!ended.startsWith("command ")) {
                    found.add(ended);
                    return found;
                }
                found.add(ended + " up to " + (offset + in.readerIndex()));
            }
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
            if (passesOn && scanner.bytesOfUnfinishedArgument() > 0) {
                rest = scanner.inPieces(in, in.readerIndex(), BYTES_MAX);
                passed.clear();
                if (pass(rest, in, passed) != null) {
                    throw new AssertionError("the scanner stopped before the end of a command that is here");
                }
            }
            offset += in.readerIndex();
            in.discardReadBytes();
        }
        return found;
    }

    /** Passes on what there is of the command; what it was in the end, or what is wrong with it; null where more is needed. */
    private static @Nullable String pass(CommandInPieces rest, ByteBuf in, ByteBuf passed) {
        int length = rest.next(in, in.readerIndex());
        if (length == CommandInPieces.MALFORMED) {
            return rest.error();
        }
        passed.writeBytes(in, length);
        if (!rest.isWhole()) {
            return null;
        }
        List<String> arguments = texts(RequestScanner.copyArguments(passed, 0));
        if (!arguments.equals(texts(rest.arguments()))) {
            throw new AssertionError(texts(rest.arguments()) + " is not " + arguments);
        }
        return "command " + arguments + (rest.marked() ? " marked" : "");
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
