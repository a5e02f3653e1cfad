package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.resp.CommandEncoder;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/**
 * A short form of the campaigns of {@code bench/fuzz} over whole sessions. {@code -Dswitchback.fuzz.seed} and {@code
 * -Dswitchback.fuzz.sessions} take others, and more; {@code -Dswitchback.fuzz.server} fewer servers.
 */
class SessionFuzzTest {
    private static final long SEED = Long.getLong("switchback.fuzz.seed", 1);
    private static final int SESSIONS = Integer.getInteger("switchback.fuzz.sessions", 50);
    private static final String SERVER = System.getProperty("switchback.fuzz.server", "");
    private static final int PARTS_MAX = 8;

    @TestFactory
    List<DynamicTest> whateverAClientSendsIsAnsweredAndEndedAsTheServerDoes(@TempDir Path folder) {
        List<DynamicTest> tests = new ArrayList<>();
        for (ServerBinary binary : ServerBinary.found()) {
            if (!binary.name().contains(SERVER)) {
                continue;
            }
            tests.add(DynamicTest.dynamicTest(binary.name(), () -> {
                try (SessionFuzz fuzz = new SessionFuzz(binary, folder.resolve(binary.name()))) {
                    SessionFuzz.FRAGMENTS.forEach(fuzz::compare);
                    for (int i = 0; i < SESSIONS; i++) {
                        String session = SessionFuzz.session(input(new Random(SEED * 1_000_003 + i)));
                        try {
                            fuzz.compare(session);
                        } catch (AssertionError | RuntimeException e) {
                            throw new AssertionError("session " + i + " of seed " + SEED + ": " + e.getMessage(), e);
                        }
                    }
                }
            }));
        }
        return tests;
    }

    private static byte[] input(Random random) {
        byte[] input = new byte[1 + random.nextInt(PARTS_MAX)];
        for (int i = 0; i < input.length; i++) {
            // Bytes of its own now and then: a few, which then stand in the middle of something.
            input[i] = (byte) (random.nextInt(12) == 0 ? 200 + random.nextInt(4) : random.nextInt(200));
        }
        return input;
    }

    /** A large value, lines, transactions, subscriptions and a broken end, in one session each. */
    private static final List<String> CUT = List.of(
            "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$400\r\n" + "x\r\n*1\r\n$".repeat(50)
                    + "\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\nGET k\r\nQUIT\r\n",
            "SET k 'a b'\r\n\r\nget k\n*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*1\r\n$4\r\nEXEC\r\nSELECT 1\r\nGET k\r\nQUIT\r\n",
            "HELLO 3\r\n*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n*1\r\n$4\r\nPING\r\n*2\r\n$11\r\nUNSUBSCRIBE\r\n$1\r\nc\r\nQUIT\r\n",
            "*2\r\n$4\r\nECHO\r\n$1\r\na\r\n*0\r\n*-1\r\n*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1x\r\n",
            "*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n:1\r\n",
            "PING\r\nGET \"k\r\n");

    @Test
    void aSessionThatIsCutAtAnyByteIsAnsweredAndEndedAsInOnePiece(@TempDir Path folder) {
        try (RealServer server = ProxyFixture.server(folder);
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1), ProxyLimits.DEFAULT, 1);
                RawClient other = ProxyFixture.client(proxy)) {
            for (String session : CUT) {
                String expected = cut(new RawClient(ProxyFixture.endpoint(server)), session, session.length(), other);
                assertThat(expected).contains("(closed)");
                for (int at = 0; at <= session.length(); at++) {
                    server.call("FLUSHALL");
                    assertThat(cut(ProxyFixture.client(proxy), session, at, other))
                            .as("%s cut at %s", CommandCorpus.quoted(session), at)
                            .isEqualTo(expected);
                }
            }
        }
    }

    /** Valkey 9 ends the connection over which that comes, and many clients may share it. */
    @TestFactory
    List<DynamicTest> aLineThatDoesNotEndAsItMustEndsItsClientOnly(@TempDir Path folder) {
        List<DynamicTest> tests = new ArrayList<>();
        for (ServerBinary binary : ServerBinary.found()) {
            tests.add(DynamicTest.dynamicTest(binary.name(), () -> {
                try (RealServer server = RealServer.start(binary, folder.resolve(binary.name()));
                        CacheProxy proxy =
                                ProxyFixture.proxy(ProxyFixture.route("old", server, 1), ProxyLimits.DEFAULT, 1);
                        RawClient other = ProxyFixture.client(proxy)) {
                    for (String end : List.of(
                            "*2\r\n$4\r\nECHO\r\n$1\r\naXX",
                            "*2\r\n$4\r\nECHOXX$1\r\na\r\n",
                            "*1\rX$4\r\nPING\r\n",
                            "*1\r\n$4\rXPING\r\n",
                            "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$300000\r\n" + "y".repeat(300_000) + "XX",
                            "*3\r\n$3\r\nSET\r\n$300000\r\n" + "y".repeat(300_000) + "\r\n$1\r\nkXX")) {
                        try (RawClient client = ProxyFixture.client(proxy)) {
                            other.send("SET", "n", "1");
                            other.send("GET", "n");
                            client.sendAsFarAsItIsRead("*1\r\n$4\r\nPING\r\n" + end + "*1\r\n$4\r\nPING\r\n");
                            assertThat(client.readUntil("\0 never said"))
                                    .isEqualTo("+PONG\r\n-ERR Protocol error: invalid CRLF in request\r\n(closed)");
                            assertThat(other.reply().text()).isEqualTo("OK");
                            assertThat(other.reply().text()).isEqualTo("1");
                            assertThat(other.text("GET", "k")).isEmpty();
                        }
                    }
                }
            }));
        }
        return tests;
    }

    private static String cut(RawClient fresh, String session, int at, RawClient other) {
        try (RawClient client = fresh) {
            client.sendRaw(session.substring(0, at));
            // There is one event loop: once it has answered this, it has read the first piece.
            other.sendRaw(CommandEncoder.encode("ECHO", "between"));
            assertThat(other.reply().text()).isEqualTo("between");
            client.sendAsFarAsItIsRead(session.substring(at));
            return client.readUntil("\0 never said").replaceAll("(\\$2\r\nid\r\n:)[0-9]+", "$1?");
        }
    }
}
