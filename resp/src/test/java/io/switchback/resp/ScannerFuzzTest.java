package io.switchback.resp;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.io.ByteArrayOutputStream;
import java.util.List;
import java.util.Random;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;

/**
 * A short form of the campaigns of {@code bench/fuzz}: streams put together of what clients and servers send, and of what they
 * should not, then spoilt here and there. {@code -Dswitchback.fuzz.seed} and {@code -Dswitchback.fuzz.streams} take others, and more.
 */
class ScannerFuzzTest {
    private static final long SEED = Long.getLong("switchback.fuzz.seed", 1);
    private static final int STREAMS = Integer.getInteger("switchback.fuzz.streams", 2_000);

    private static final List<String> REQUESTS = List.of(
            "*1\r\n$4\r\nPING\r\n",
            "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
            "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\na\r\nb\0\r\n",
            "*2\r\n$3\r\nGET\r\n$22\r\nswitchback:reserved:xy\r\n",
            "*4\r\n$4\r\nMGET\r\n$1\r\na\r\n$22\r\nswitchback:reserved:xy\r\n$1\r\nb\r\n",
            "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
            "*0\r\n",
            "*-1\r\n",
            "*-1000000000000000000\r\n",
            "*-9223372036854775808\r\n",
            "*-9223372036854775809\r\n",
            "*9223372036854775808\r\n",
            "*1\r\n$1025\r\n",
            "*01\r\n",
            "*1\r\n:1\r\n",
            "*1\n$4\nPING\n",
            "*2147483648\r\n",
            "*1\r\n$-1\r\n",
            "*1\r\n$4\r\nPINGxx",
            "PING\r\n",
            "PING\n",
            "\r\n",
            "SET k \"a\\x41\\n\\\"\" 'b\\'c'\r\n",
            "SET k \"a\"b\r\n",
            "SET \"a\r\n",
            "GET a\0b\r\n",
            " \t\u000bGET\fa\r\r\n");

    private static final List<String> REPLIES = List.of(
            "+OK\r\n",
            "-ERR no\r\n",
            ":-42\r\n",
            "$5\r\na\r\nb+\r\n",
            "$-1\r\n",
            "$0\r\n\r\n",
            "*-1\r\n",
            "*0\r\n",
            "*2\r\n",
            "*3\r\n*2\r\n:1\r\n$1\r\nx\r\n*1\r\n*0\r\n-ERR nested\r\n",
            "_\r\n",
            "#t\r\n",
            ",1.5\r\n",
            "(12345678901234567890\r\n",
            "=7\r\ntxt:abc\r\n",
            "!5\r\nERR x\r\n",
            "~2\r\n+a\r\n+b\r\n",
            "%1\r\n+k\r\n*1\r\n%0\r\n",
            "|1\r\n+ttl\r\n:3\r\n",
            "*2\r\n|1\r\n+a\r\n%1\r\n+b\r\n+c\r\n:1\r\n|0\r\n:2\r\n",
            ">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n",
            ">0\r\n",
            "$1x\r\n",
            "$--1\r\n",
            "*1\r\n".repeat(100));

    @Test
    void requestsAreFoundAsThePlainDecoderFindsThem() {
        run(REQUESTS, RequestScannerFuzz::fuzzerTestOneInput);
    }

    @Test
    void repliesAreFoundAsThePlainDecoderFindsThem() {
        run(REPLIES, ReplyScannerFuzz::fuzzerTestOneInput);
    }

    private static void run(List<String> fragments, Consumer<byte[]> target) {
        for (String fragment : fragments) {
            target.accept(fragment.getBytes(ISO_8859_1));
        }
        for (int i = 0; i < STREAMS; i++) {
            long seed = SEED * 1_000_003 + i;
            try {
                target.accept(stream(fragments, new Random(seed)));
            } catch (AssertionError | RuntimeException e) {
                throw new AssertionError("stream " + i + " of seed " + SEED, e);
            }
        }
    }

    private static byte[] stream(List<String> fragments, Random random) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        int parts = 1 + random.nextInt(8);
        for (int i = 0; i < parts; i++) {
            byte[] part = fragments.get(random.nextInt(fragments.size())).getBytes(ISO_8859_1);
            int kept = random.nextInt(6) == 0 ? random.nextInt(part.length + 1) : part.length;
            out.write(part, 0, kept);
        }
        byte[] bytes = out.toByteArray();
        String likely = "*$\r\n0123456789-+:\"'\\ \0x>|";
        for (int i = random.nextInt(3); i > 0 && bytes.length > 0; i--) {
            bytes[random.nextInt(bytes.length)] = random.nextInt(4) == 0
                    ? (byte) random.nextInt(256)
                    : (byte) likely.charAt(random.nextInt(likely.length()));
        }
        return bytes;
    }
}
