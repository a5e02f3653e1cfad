package io.switchback.peers;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.environment.Environment;
import io.switchback.testkit.Await;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class PeerNetworkTest {
    private static final Duration LIMIT = Duration.ofSeconds(20);
    private static final Duration SHORT = Duration.ofMillis(200);
    private static final InetSocketAddress ANYWHERE = new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);

    private final Map<String, InetSocketAddress> directory = new ConcurrentHashMap<>();
    private final List<AutoCloseable> opened = new ArrayList<>();

    @AfterEach
    void close() throws Exception {
        for (AutoCloseable one : opened.reversed()) {
            one.close();
        }
    }

    private PeerNetwork open(String node, String secret, PeerHandler handler) throws IOException {
        return open(node, secret, ANYWHERE, handler);
    }

    private PeerNetwork open(String node, String secret, InetSocketAddress listen, PeerHandler handler)
            throws IOException {
        PeerNetwork network = PeerNetwork.open(
                node,
                listen,
                new PeerSecret(secret.getBytes(UTF_8)),
                name -> Optional.ofNullable(directory.get(name)),
                handler,
                Environment.system());
        directory.put(node, network.address());
        opened.add(network);
        return network;
    }

    private static PeerHandler echo() {
        return (node, subject, question) -> CompletableFuture.completedFuture(
                (node + " " + subject + " " + new String(question, UTF_8)).getBytes(UTF_8));
    }

    private static String ask(PeerNetwork from, String node, String question) {
        return new String(from.ask(node, "say", question.getBytes(UTF_8), LIMIT).join(), UTF_8);
    }

    private static PeerException.Code codeOf(CompletableFuture<byte[]> answer) {
        try {
            answer.join();
            throw new AssertionError("it was answered");
        } catch (CompletionException e) {
            return ((PeerException) Objects.requireNonNull(e.getCause())).code();
        }
    }

    @Test
    void aNodeAnswersTheOthersAndItself() throws Exception {
        PeerNetwork one = open("one", "the common secret", echo());
        PeerNetwork two = open("two", "the common secret", echo());
        assertThat(ask(one, "two", "a")).isEqualTo("one say a");
        assertThat(ask(two, "one", "b")).isEqualTo("two say b");
        assertThat(ask(one, "one", "c")).isEqualTo("one say c");
        assertThat(ask(one, "two", "x".repeat(500_000))).hasSize("one say ".length() + 500_000);
    }

    @Test
    void manyQuestionsAtOnceGetEachTheirOwnAnswer() throws Exception {
        PeerNetwork one = open("one", "the common secret", echo());
        open("two", "the common secret", echo());
        List<CompletableFuture<byte[]>> answers = new ArrayList<>();
        for (int i = 0; i < PeerConnection.QUESTIONS_MAX; i++) {
            answers.add(one.ask("two", "say", Integer.toString(i).getBytes(UTF_8), LIMIT));
        }
        for (int i = 0; i < answers.size(); i++) {
            assertThat(new String(answers.get(i).join(), UTF_8)).isEqualTo("one say " + i);
        }
    }

    @Test
    void whoDoesNotKnowTheSecretIsNotHeard() throws Exception {
        AtomicInteger heard = new AtomicInteger();
        open("one", "the common secret", (node, subject, question) -> {
            heard.incrementAndGet();
            return CompletableFuture.completedFuture(question);
        });
        PeerNetwork stranger = open("stranger", "another secret....", echo());
        assertThat(codeOf(stranger.ask("one", "say", new byte[1], LIMIT))).isEqualTo(PeerException.Code.UNREACHABLE);
        assertThat(heard).hasValue(0);
    }

    @Test
    void aQuestionWithoutAnIntroductionEndsTheConnection() throws Exception {
        AtomicInteger heard = new AtomicInteger();
        PeerNetwork one = open("one", "the common secret", (node, subject, question) -> {
            heard.incrementAndGet();
            return CompletableFuture.completedFuture(question);
        });
        try (Socket socket =
                new Socket(InetAddress.getLoopbackAddress(), one.address().getPort())) {
            byte[] frame = Frame.bytes(new Frame.Question(1, "say", new byte[3]));
            DataOutputStream out = new DataOutputStream(socket.getOutputStream());
            out.writeInt(frame.length);
            out.write(frame);
            assertThat(socket.getInputStream().read()).isEqualTo(-1);
        }
        assertThat(heard).hasValue(0);
    }

    @Test
    void aNodeThatIsNotThereIsSaidToBeUnreachableAndIsAskedAgainLater() throws Exception {
        PeerNetwork one = open("one", "the common secret", echo());
        assertThat(codeOf(one.ask("two", "say", new byte[1], LIMIT))).isEqualTo(PeerException.Code.UNREACHABLE);
        PeerNetwork two = open("two", "the common secret", echo());
        InetSocketAddress address = two.address();
        assertThat(ask(one, "two", "a")).isEqualTo("one say a");
        two.close();
        Await.until(
                LIMIT,
                "the loss to be noticed",
                () -> one.ask("two", "say", new byte[1], SHORT).isCompletedExceptionally());
        open("two", "the common secret", address, echo());
        Await.until(LIMIT, "an answer of the one that is back", () -> {
            CompletableFuture<byte[]> answer = one.ask("two", "say", new byte[1], SHORT);
            answer.exceptionally(e -> new byte[0]).join();
            return !answer.isCompletedExceptionally();
        });
    }

    @Test
    void whoSaysNothingIsGivenUpAndCalledAnew() throws Exception {
        PeerNetwork one = open("one", "the common secret", echo());
        AtomicInteger asked = new AtomicInteger();
        open(
                "two",
                "the common secret",
                (node, subject, question) -> asked.incrementAndGet() == 1
                        ? new CompletableFuture<>()
                        : CompletableFuture.completedFuture(question));
        assertThat(codeOf(one.ask("two", "say", new byte[1], SHORT))).isEqualTo(PeerException.Code.TIMED_OUT);
        // A question that comes while the silent connection is being given up fails with it.
        Await.until(LIMIT, "an answer over another connection", () -> {
            CompletableFuture<byte[]> answer = one.ask("two", "say", new byte[1], LIMIT);
            answer.exceptionally(e -> new byte[0]).join();
            return !answer.isCompletedExceptionally();
        });
        // One that takes connections and never says a word.
        try (ServerSocket silent = new ServerSocket(0)) {
            directory.put("silent", new InetSocketAddress(InetAddress.getLoopbackAddress(), silent.getLocalPort()));
            assertThat(codeOf(one.ask("silent", "say", new byte[1], LIMIT))).isEqualTo(PeerException.Code.UNREACHABLE);
        }
    }

    @Test
    void aFailureIsToldToWhoAsked() throws Exception {
        PeerNetwork one = open("one", "the common secret", (node, subject, question) -> {
            throw new IllegalStateException("not today");
        });
        PeerNetwork two = open("two", "the common secret", echo());
        assertThatThrownBy(() -> ask(two, "one", "a")).hasMessageContaining("node one: not today");
        assertThatThrownBy(() -> ask(one, "one", "a")).hasMessageContaining("not today");
    }

    @Test
    void aNodeThatAnswersForAnotherIsNotAsked() throws Exception {
        PeerNetwork one = open("one", "the common secret", echo());
        PeerNetwork two = open("two", "the common secret", echo());
        directory.put("three", two.address());
        assertThat(codeOf(one.ask("three", "say", new byte[1], LIMIT))).isEqualTo(PeerException.Code.UNREACHABLE);
    }

    @Test
    void whatIsNoFrameIsRefused() {
        byte[] question = Frame.bytes(new Frame.Question(7, "say", new byte[] {1, 2, 3}));
        for (int length = 0; length < question.length; length++) {
            byte[] cut = Arrays.copyOf(question, length);
            assertThatThrownBy(() -> Frame.parse(cut)).isInstanceOf(Frame.Malformed.class);
        }
        assertThatThrownBy(() -> Frame.parse(Arrays.copyOf(question, question.length + 1)))
                .isInstanceOf(Frame.Malformed.class);
        assertThatThrownBy(() -> Frame.parse(new byte[] {9})).isInstanceOf(Frame.Malformed.class);
    }
}
