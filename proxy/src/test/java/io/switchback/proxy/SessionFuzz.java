package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Whole sessions of any bytes, directly to a server and through the proxy to another: the same replies, and the connection closed
 * or not alike. For Jazzer, and for tests.
 *
 * <p>Most bytes of the input stand for a fragment of a session, so that few of them are wasted on what is no command at all; the rest are
 * taken as they are. Behind each session comes {@link #END} often enough to fill up whatever is unfinished, so that every one ends.
 */
public final class SessionFuzz implements AutoCloseable {
    static final List<String> FRAGMENTS = List.of(
            "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\n1\r\n",
            "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
            "*2\r\n$4\r\nINCR\r\n$1\r\nk\r\n",
            "*3\r\n$5\r\nRPUSH\r\n$1\r\nl\r\n$4\r\na\r\nb\r\n",
            "*4\r\n$6\r\nLRANGE\r\n$1\r\nl\r\n$1\r\n0\r\n$2\r\n-1\r\n",
            "*2\r\n$3\r\nGET\r\n$1\r\nl\r\n",
            "*1\r\n$3\r\nGET\r\n",
            "*2\r\n$4\r\nECHO\r\n$2000\r\n" + "x\r".repeat(1000) + "\r\n",
            "*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\nk\r\n*1\r\n$4\r\nEXEC\r\n",
            "*1\r\n$5\r\nMULTI\r\n*1\r\n$3\r\nGET\r\n*1\r\n$4\r\nEXEC\r\n",
            "*1\r\n$4\r\nEXEC\r\n",
            "*2\r\n$5\r\nWATCH\r\n$1\r\nk\r\n",
            "*1\r\n$7\r\nUNWATCH\r\n",
            "*2\r\n$6\r\nSELECT\r\n$1\r\n1\r\n",
            "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n",
            "*2\r\n$6\r\nSELECT\r\n$2\r\n99\r\n",
            "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n",
            "*2\r\n$5\r\nHELLO\r\n$1\r\n2\r\n",
            // One, since UNSUBSCRIBE names several in the order of the server's seed.
            "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n",
            "*1\r\n$11\r\nUNSUBSCRIBE\r\n",
            "*1\r\n$5\r\nRESET\r\n",
            "*3\r\n$5\r\nBLPOP\r\n$4\r\nnone\r\n$5\r\n0.001\r\n",
            "*3\r\n$4\r\nEVAL\r\n$23\r\nreturn {1,'a\\r\\n',false}\r\n$1\r\n0\r\n",
            // Never the last word before a broken frame: to that, unheard, servers say nothing and go on waiting.
            "*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$4\r\nSKIP\r\nPING a\r\n",
            "*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$4\r\nSKIP\r\n\r\nPING b\r\n",
            "*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$4\r\nSKIP\r\n*0\r\nPING c\r\n",
            "*0\r\n",
            "*-1\r\n",
            "*-1000000000000000000\r\n",
            "PING\r\n",
            "\r\n",
            "set k \"a b\\x00\"\n",
            "GET 'k'\r\n",
            "GET 'k\r\n",
            "GET \"k\"x\r\n",
            "*x\r\n",
            "*01\r\n",
            "*2147483648\r\n",
            "*1\r\n$-1\r\n",
            "*1\r\n$536870913\r\n",
            "*1\r\n:4\r\n",
            "*2\r\n$4\r\nECHO\r\n$3\r\nab",
            "*2\r\n$4\r\nECHO\r\n$1\r\nabc",
            "POST / HTTP/1.1\r\n",
            "QUIT\r\n");

    /** From here on an input's byte says how many of the following stand for themselves. */
    private static final int RAW = 200;

    private static final String END = "QUIT\r\n";
    private static final int ENDS = 500;

    /** What differs as docs/commands.md and docs/differences.md say. */
    private static final Pattern ID = Pattern.compile("(\\$2\r\nid\r\n:)[0-9]+");

    /** Of a client that is subscribed. */
    private static final Pattern ARITY_FIRST =
            Pattern.compile("-ERR (Can't execute 'get': [^\r]*|wrong number of arguments for 'get' command)\r\n");

    private static final Pattern UNKNOWN = Pattern.compile("-ERR unknown command [^\r]*\r\n");

    private static final Pattern LOSES_WATCH = Pattern.compile("(?is)WATCH.*(HELLO|SUBSCRIBE)");

    /** The words differ from version to version; the proxy's are those of 7.0. */
    private static final Pattern RESTRICTED =
            Pattern.compile("-[A-Za-z: ]*Can't execute '[^\r]*' *: only [^\r]*in this context\r\n");

    /** By Redis 8 what is no command ends no SKIP. */
    private static final Pattern SKIPS_NOTHING = Pattern.compile("(?is)SKIP\r\n(\r\n|\n|\\*(0|-))");

    private static @Nullable SessionFuzz shared;

    private final ServerBinary binary;
    private final RealServer direct;
    private final RealServer behind;
    private final CacheProxy proxy;

    SessionFuzz(ServerBinary binary, Path folder) {
        this.binary = binary;
        direct = RealServer.start(binary, folder.resolve("direct"));
        behind = RealServer.start(binary, folder.resolve("behind"));
        proxy = ProxyFixture.proxy(ProxyFixture.route("old", behind, 1));
    }

    /** What Jazzer calls; the servers end with the process. */
    public static void fuzzerTestOneInput(byte[] data) {
        shared().compare(session(data));
    }

    private static synchronized SessionFuzz shared() {
        SessionFuzz made = shared;
        if (made == null) {
            try {
                made = new SessionFuzz(ProxyFixture.binary(), Files.createTempDirectory("switchback-fuzz-"));
                shared = made;
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
        return made;
    }

    /** The session that an input stands for. */
    static String session(byte[] data) {
        StringBuilder session = new StringBuilder();
        for (int i = 0; i < data.length; i++) {
            int value = data[i] & 0xff;
            if (value < RAW) {
                session.append(FRAGMENTS.get(value % FRAGMENTS.size()));
            } else {
                int end = Math.min(data.length, i + 1 + value - RAW);
                session.append(new String(data, i + 1, end - i - 1, ISO_8859_1));
                i = end - 1;
            }
        }
        return session.toString();
    }

    /** Fails where the proxy does not do what the server does. */
    void compare(String session) {
        if (session.indexOf('\0') >= 0) {
            return; // in a line: the servers look for its end in front of that byte only, and go on waiting
        }
        String whole = session + "\r\n" + END.repeat(ENDS);
        String expected = converse(new RawClient(ProxyFixture.endpoint(direct)), whole);
        String found = converse(ProxyFixture.client(proxy), whole);
        boolean known = found.contains("is not supported inside MULTI")
                // Servers before Valkey 9 skip what stands where a line should end.
                || (found.contains("invalid CRLF in request") && !expected.contains("invalid CRLF in request"))
                || LOSES_WATCH.matcher(session).find()
                // The server closes at once, and what it has not sent by then is lost.
                || (session.contains("POST ") && expected.endsWith("(closed)") && found.endsWith("(closed)"));
        if (!found.equals(expected) && !known && !isKnownOfVersion(session, found, expected)) {
            throw new AssertionError("session: " + CommandCorpus.quoted(session) + "\n  through the proxy: "
                    + CommandCorpus.quoted(found) + "\n  directly:          " + CommandCorpus.quoted(expected));
        }
        direct.call("FLUSHALL");
        behind.call("FLUSHALL");
    }

    /** Where servers differ from each other, the proxy does as 7.0 does. */
    private boolean isKnownOfVersion(String session, String found, String expected) {
        String server = binary.name();
        if (server.equals("redis-6.0") && session.toUpperCase(Locale.ROOT).contains("RESET")) {
            return true; // it does not know it
        }
        if (server.startsWith("redis-8") && SKIPS_NOTHING.matcher(session).find()) {
            return true;
        }
        if (server.startsWith("redis-8")
                && session.contains("BLPOP")
                && found.contains("Protocol error")
                && expected.endsWith("(still open)")) {
            return true; // it says nothing of a broken frame behind a command that waited, and reads no more
        }
        // Valkey 9 takes what stands behind a quote.
        return server.startsWith("valkey-9")
                && found.contains("unbalanced quotes")
                && !expected.contains("unbalanced quotes");
    }

    private static String converse(RawClient fresh, String session) {
        try (RawClient client = fresh) {
            client.sendAsFarAsItIsRead(session);
            String replies = client.readUntil("\0 never said");
            if (session.contains("SUBSCRIBE")) {
                replies = ARITY_FIRST.matcher(replies).replaceAll("-ERR not that\r\n");
                replies = RESTRICTED.matcher(replies).replaceAll("-ERR not in this context\r\n");
            }
            return UNKNOWN.matcher(ID.matcher(replies).replaceAll("$1?")).replaceAll("-ERR unknown command\r\n");
        }
    }

    @Override
    public void close() {
        proxy.close();
        behind.close();
        direct.close();
    }
}
