package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.resp.CommandEncoder;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/**
 * Replies to writes wait for a follower. That is a server's own replica here, which announces the name that a link would and
 * acknowledges once a second.
 */
final class ProtectionTest {
    private static final Duration LIMIT = Duration.ofSeconds(20);
    private static final Duration STALL = Duration.ofMillis(300);
    private static final String LINK = "switchback-0123456789abcdef0123456789abcdef";
    /** Long enough for a reply that is not kept. */
    private static final int UNKEPT_MS = 300;

    @TempDir
    private Path folder;

    private RealServer server;
    private RealServer follower;
    private CacheProxy proxy;
    private BackendRoute route;

    @BeforeEach
    void start() {
        server = ProxyFixture.server(folder.resolve("server"), "--repl-diskless-sync-delay", "0");
        follower = follower("follower", LINK);
        route = ProxyFixture.route("new", server, 1);
        proxy = ProxyFixture.proxy(route, ProxyLimits.DEFAULT, 1);
    }

    private RealServer follower(String name, String announced) {
        RealServer started = ProxyFixture.server(
                folder.resolve(name),
                "--replicaof",
                server.host() + " " + server.port(),
                "--replica-announce-ip",
                announced);
        Await.until(
                LIMIT,
                "following",
                () -> started.info("replication", "master_link_status").equals("up"));
        return started;
    }

    @AfterEach
    void end() {
        proxy.close();
        follower.close();
        server.close();
    }

    private static boolean has(RealServer server, String value) {
        try (RawClient direct = new RawClient(ProxyFixture.endpoint(server))) {
            return direct.text("GET", "key").equals(value);
        }
    }

    private void protect(OnStall onStall) {
        proxy.protect(route, new Protection(LINK, onStall, STALL)).join();
    }

    @Test
    void aWriteIsAnsweredOnceTheFollowerHasItAndAReadOfSomebodyElseDoesNotWait() {
        protect(OnStall.HOLD);
        try (RawClient writer = ProxyFixture.client(proxy);
                RawClient reader = ProxyFixture.client(proxy)) {
            assertThat(writer.text("SET", "key", "1")).isEqualTo("OK");
            assertThat(follower.text("GET", "key")).isEqualTo("1");
            follower.stop();
            writer.send("INCR", "key");
            writer.send("GET", "key");
            writer.send("MULTI");
            writer.send("INCR", "key");
            writer.send("EXEC");
            Await.until(
                    LIMIT,
                    "the write to be done",
                    () -> reader.text("GET", "key").equals("3"));
            assertThat(writer.hasReplyWithin(UNKEPT_MS)).isFalse();
            Await.until(LIMIT, "being told", () -> proxy.protection() == ProtectionState.WAITING);
            assertThat(reader.text("GET", "key")).isEqualTo("3");
            follower.resume();
            assertThat(writer.reply().text()).isEqualTo("2");
            assertThat(writer.reply().text()).isEqualTo("2");
            assertThat(writer.reply().text()).isEqualTo("OK");
            assertThat(writer.reply().text()).isEqualTo("QUEUED");
            assertThat(writer.reply().text()).isEqualTo("[3]");
            assertThat(proxy.protection()).isEqualTo(ProtectionState.ON);
        }
    }

    @Test
    void anotherReplicaConfirmsNothing() {
        try (RealServer other = follower("other", "127.0.0.1")) {
            protect(OnStall.HOLD);
            follower.stop();
            try (RawClient writer = ProxyFixture.client(proxy)) {
                writer.send("SET", "key", "1");
                Await.until(LIMIT, "the other to have it", () -> has(other, "1"));
                Await.until(LIMIT, "being told", () -> proxy.protection() == ProtectionState.WAITING);
                try (Jedis client = server.client()) {
                    client.set("later", "x");
                    assertThat(client.waitReplicas(1, LIMIT.toMillis()))
                            .as("replicas that have acknowledged")
                            .isEqualTo(1);
                }
                assertThat(writer.hasReplyWithin(UNKEPT_MS)).isFalse();
                follower.resume();
                assertThat(writer.reply().text()).isEqualTo("OK");
            }
        }
    }

    @Test
    void withAsyncRepliesAreGivenOutAfterAStallAndKeptAgainOnceTheFollowerHasCaughtUp() {
        protect(OnStall.ASYNC);
        follower.stop();
        try (RawClient writer = ProxyFixture.client(proxy)) {
            assertThat(writer.text("SET", "key", "1")).isEqualTo("OK");
            assertThat(proxy.protection()).isEqualTo(ProtectionState.SUSPENDED);
            assertThat(writer.text("SET", "key", "2")).isEqualTo("OK");
            follower.resume();
            Await.until(LIMIT, "protection again", () -> proxy.protection() == ProtectionState.ON);
            assertThat(writer.text("SET", "key", "3")).isEqualTo("OK");
            assertThat(follower.text("GET", "key")).isEqualTo("3");
        }
    }

    @Test
    void aServerThatDiesBeforeItsWritesAreConfirmedLeavesErrorsAndNeverAnOk() {
        protect(OnStall.HOLD);
        follower.stop();
        try (RawClient writer = ProxyFixture.client(proxy);
                RawClient reader = ProxyFixture.client(proxy)) {
            writer.send("SET", "key", "1");
            writer.send("GET", "key");
            writer.send("PING");
            Await.until(
                    LIMIT,
                    "the write to be done",
                    () -> reader.text("GET", "key").equals("1"));
            server.kill();
            assertThat(writer.reply().text()).contains("may or may not have run");
            // Came with the write, or after it: nobody is told a value as if it were safe, or it is the true one.
            assertThat(writer.reply().text()).matches("1|.*may or may not have run");
            assertThat(writer.reply().text()).matches("PONG|.*may or may not have run");
        }
    }

    /** The link's acknowledgements would be counted from the history of another process. */
    @Test
    void aServerThatWasRestartedConfirmsNothingOfItsFormerLife() {
        protect(OnStall.HOLD);
        follower.stop();
        try (RawClient writer = ProxyFixture.client(proxy)) {
            writer.send("SET", "key", "1");
            Await.until(LIMIT, "the write to be done", () -> has(server, "1"));
            server.kill();
            server.restart();
            assertThat(writer.reply().text()).contains("may or may not have run");
            follower.resume();
            // That it was gone is told for a moment to whoever comes next.
            Await.until(
                    LIMIT,
                    "the restarted server to be used",
                    () -> writer.text("SET", "key", "2").equals("OK"));
            assertThat(follower.text("GET", "key")).isEqualTo("2");
        }
    }

    @Test
    void aHoldDoesNotWaitForKeptRepliesAndAnAbortKeepsThem() {
        protect(OnStall.HOLD);
        follower.stop();
        try (RawClient writer = ProxyFixture.client(proxy)) {
            writer.send("SET", "key", "1");
            Await.until(LIMIT, "the write to be done", () -> has(server, "1"));
            assertThat(ProxyFixture.hold(proxy, 5_000)).isInstanceOf(HoldOutcome.Held.class);
            assertThat(writer.hasReplyWithin(UNKEPT_MS)).isFalse();
            proxy.letGo(route).join();
            assertThat(writer.hasReplyWithin(UNKEPT_MS)).isFalse();
            follower.resume();
            assertThat(writer.reply().text()).isEqualTo("OK");
        }
    }

    @Test
    void whatIsKeptWhenClientsAreLetGoElsewhereIsConfirmedByTheSwitchOrGivenUpBefore() {
        protect(OnStall.HOLD);
        follower.stop();
        try (RealServer old = ProxyFixture.server(folder.resolve("old"));
                RawClient writer = ProxyFixture.client(proxy)) {
            writer.send("SET", "key", "1");
            Await.until(LIMIT, "the write to be done", () -> has(server, "1"));
            ProxyFixture.hold(proxy, 5_000);
            proxy.letGo(ProxyFixture.route("old", old, 2)).join();
            assertThat(writer.reply().text()).isEqualTo("OK");
            assertThat(proxy.protection()).isEqualTo(ProtectionState.OFF);
            assertThat(writer.text("SET", "key", "2")).isEqualTo("OK");

            ProxyFixture.hold(proxy, 5_000);
            route = ProxyFixture.route("new", server, 3);
            protect(OnStall.HOLD);
            proxy.letGo(route).join();
            writer.send("SET", "key", "3");
            Await.until(LIMIT, "the write to be done", () -> has(server, "3"));
            ProxyFixture.hold(proxy, 5_000);
            proxy.giveUpKept();
            proxy.letGo(ProxyFixture.route("old", old, 4)).join();
            assertThat(writer.reply().text()).contains("may or may not have run");
        }
    }

    /** L8: a client that writes on and on while nothing is confirmed is not read any more. */
    @Test
    void whileNothingIsConfirmedAClientIsSlowedDownAndLosesNothing() throws IOException {
        protect(OnStall.HOLD);
        follower.stop();
        byte[] command = CommandEncoder.encode("INCR", "key");
        byte[] many = new byte[command.length * 10_000];
        for (int i = 0; i < 10_000; i++) {
            System.arraycopy(command, 0, many, i * command.length, command.length);
        }
        try (SocketChannel channel = SocketChannel.open(new InetSocketAddress(
                        proxy.addresses().getFirst().host(),
                        proxy.addresses().getFirst().port()));
                RawClient reader = ProxyFixture.client(proxy)) {
            channel.configureBlocking(false);
            ByteBuffer rest = ByteBuffer.wrap(many);
            long[] sent = {0};
            int[] refused = {0};
            Await.until(Duration.ofSeconds(60), "the proxy to read no more", () -> {
                try {
                    int wrote = channel.write(rest);
                    sent[0] += wrote;
                    refused[0] = wrote == 0 ? refused[0] + 1 : 0;
                    if (!rest.hasRemaining()) {
                        rest.rewind();
                    }
                    return refused[0] > 200;
                } catch (IOException e) {
                    throw new AssertionError(e);
                }
            });
            assertThat(reader.text("GET", "key")).isNotEqualTo("");
            follower.resume();
            ByteBuffer replies = ByteBuffer.allocate(64 * 1024);
            long whole = sent[0] / command.length;
            long[] lines = {0};
            Await.until(Duration.ofSeconds(60), "all replies", () -> {
                try {
                    replies.clear();
                    channel.read(replies);
                    for (int i = 0; i < replies.position(); i++) {
                        lines[0] += replies.get(i) == '\n' ? 1 : 0;
                    }
                    return lines[0] >= whole;
                } catch (IOException e) {
                    throw new AssertionError(e);
                }
            });
            assertThat(lines[0]).isEqualTo(whole);
        }
    }
}
