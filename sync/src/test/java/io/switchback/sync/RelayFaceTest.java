package io.switchback.sync;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.resp.CommandEncoder;
import io.switchback.sync.LinkStatus.Phase;
import io.switchback.testkit.Await;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What the face answers to a follower that says what no real one would, and whom it can be reached by. */
class RelayFaceTest {
    @TempDir
    Path folder;

    static Stream<String> pairs() {
        return RelayBreaksTest.pairs();
    }

    /** A follower by hand: it says what it is told to say. */
    private static final class Follower implements AutoCloseable {
        private final Socket socket;
        private final InputStream in;

        Follower(RelayLink link) throws IOException {
            socket = new Socket(link.face().host(), link.face().port());
            socket.setSoTimeout((int) Pair.LIMIT.toMillis());
            in = new BufferedInputStream(socket.getInputStream());
        }

        Follower withPassword() throws IOException {
            assertThat(ask("AUTH", Pair.SECRET)).isEqualTo("+OK");
            return this;
        }

        void say(String... words) throws IOException {
            socket.getOutputStream().write(CommandEncoder.encode(words));
        }

        String ask(String... words) throws IOException {
            say(words);
            StringBuilder line = new StringBuilder();
            for (int next = in.read(); next >= 0 && next != '\n'; next = in.read()) {
                line.append((char) next);
            }
            return line.toString().strip();
        }

        void readUntil(String word) throws IOException {
            StringBuilder read = new StringBuilder();
            while (read.indexOf(word) < 0) {
                read.append(new String(in.readNBytes(1), ISO_8859_1));
            }
        }

        @Override
        public void close() throws IOException {
            socket.close();
        }
    }

    /** The target has everything, and is kept from coming again. */
    private static void sendTargetAway(Following f) {
        f.servers().a.call("SET", "key", "value");
        Pair.drain(f.link(), f.servers().a);
        f.servers().b.call("CONFIG", "SET", "masterauth", "wrong");
        f.servers().b.call("CLIENT", "KILL", "TYPE", "master");
        Pair.awaitPhase(f.link(), Phase.WAITING_FOR_TARGET);
        // The source notices a little later that the link has hung up.
        Await.until(
                Pair.LIMIT,
                "the source is rid of it",
                () -> f.servers().a.state().attachedReplicas() == 0);
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void theSourceHearsWhatTheTargetHasAppliedAndNotWhatItWasSent(String pair) throws Exception {
        try (Following f = Following.start(folder, pair)) {
            Pair.Side a = f.servers().a;
            sendTargetAway(f);
            String id = f.servers().b.state().id();
            long applied = f.servers().b.state().offset();
            try (Follower follower = new Follower(f.link()).withPassword()) {
                // It hears the very id that it asked with.
                assertThat(follower.ask("PSYNC", id, "" + (applied + 1))).isEqualTo("+CONTINUE " + id);
                a.call("SET", "key", "the-last-word");
                long written = a.state().offset();
                follower.readUntil("the-last-word\r\n");
                follower.say("REPLCONF", "ACK", "" + applied);
                assertThat(a.call("WAIT", "1", "50")).isEqualTo("0");
                follower.say("REPLCONF", "ACK", "" + f.link().targetOffsetOf(written));
                assertThat(a.call("WAIT", "1", "20000")).isEqualTo("1");
            }
        }
    }

    @Test
    void whoDoesNotShowThePasswordIsAskedToComeAgainAndSentNothing() throws Exception {
        try (Following f = Following.start(folder, "redis-7.0 to valkey-9.1")) {
            sendTargetAway(f);
            String id = f.servers().b.state().id();
            String next = "" + (f.servers().b.state().offset() + 1);
            try (Follower follower = new Follower(f.link())) {
                assertThat(follower.ask("PING")).startsWith("-NOAUTH");
                assertThat(follower.ask("PSYNC", id, next)).startsWith("-NOMASTERLINK");
                assertThat(follower.ask("AUTH", "default", "wrong")).startsWith("-WRONGPASS");
                assertThat(follower.ask("PSYNC", id, next)).startsWith("-NOMASTERLINK");
                assertThat(follower.ask("SYNC")).startsWith("-NOMASTERLINK");
                assertThat(f.servers().a.state().attachedReplicas()).isZero();
                assertThat(follower.withPassword().ask("PSYNC", id, next)).isEqualTo("+CONTINUE " + id);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void whoHasMoreThanItWasSentIsNotBelieved(String pair) throws Exception {
        try (Following f = Following.start(folder, pair)) {
            sendTargetAway(f);
            String id = f.servers().b.state().id();
            long applied = f.servers().b.state().offset();
            f.servers().a.call("SET", "not sent", "x".repeat(1000));
            try (Follower follower = new Follower(f.link()).withPassword()) {
                assertThat(follower.ask("PSYNC", id, "" + (applied + 101))).startsWith("-NOMASTERLINK");
            }
            f.heard().awaitBroken();
            assertThat(f.heard().breaks.getFirst()).contains("was sent only up to " + applied);
        }
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void whoHasLessThanTheLinkBeganWithIsNotBelieved(String pair) throws Exception {
        try (Following f = Following.start(folder, pair)) {
            sendTargetAway(f);
            String id = f.servers().b.state().id();
            try (Follower follower = new Follower(f.link()).withPassword()) {
                assertThat(follower.ask("PSYNC", id, "" + f.base().targetOffset()))
                        .startsWith("-NOMASTERLINK");
            }
            f.heard().awaitBroken();
            assertThat(f.heard().breaks.getFirst()).contains("begins behind");
        }
    }

    @Test
    void itIsReachedAtItsOwnAddressAndAtNoOther() throws Exception {
        try (Following f = Following.start(folder, "embedded to embedded")) {
            try (Follower follower = new Follower(f.link()).withPassword()) {
                assertThat(follower.ask("PING")).isEqualTo("+PONG");
            }
            int port = f.link().face().port();
            try (Socket other = new Socket()) {
                assertThatThrownBy(() -> other.connect(new InetSocketAddress("127.0.0.2", port)))
                        .isInstanceOf(IOException.class);
            }
        }
    }
}
