package io.switchback.sync.apply;

import static io.switchback.sync.apply.Links.LIMIT;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.resp.Reply;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Pipeline;
import redis.clients.jedis.exceptions.JedisDataException;

/** What servers tell a link by scan of, what they do not, and by when they have told it. */
class TrackingTest {
    @TempDir
    Path folder;

    static Stream<ServerBinary> servers() {
        return ServerBinary.matrix().isEmpty() ? Stream.of(ServerBinary.any()) : ServerBinary.matrix().stream();
    }

    /** Keys that each of these writes; what a server does not know is left out. */
    private static final List<String> TOLD = List.of(
            "SET s x -> s",
            "PFADD p a -> p",
            "PFCOUNT p -> p",
            "EXPIRE p 100 -> p",
            "PERSIST p -> p",
            "GETEX s EX 100 -> s",
            "COPY s s2 -> s2",
            "RENAME s s3 -> s s3",
            "MOVE s3 4 -> s3",
            "GETDEL s2 -> s2",
            "HSET h f v g v i v -> h",
            "HPEXPIRE h 100000 FIELDS 1 f -> h",
            "HPERSIST h FIELDS 1 f -> h",
            "HGETEX h EX 100 FIELDS 1 g -> h",
            "HGETDEL h FIELDS 1 g -> h",
            "LPUSH l a b -> l",
            "LMPOP 1 l LEFT -> l",
            "VADD v VALUES 1 1 a -> v",
            "VSETATTR v a {} -> v",
            "XADD x 1-1 f v -> x",
            "XTRIM x MAXLEN 5 -> ",
            "XDEL x 1-1 -> x",
            "EVAL redis.call('SET',KEYS[1],'v') 1 e -> e");

    /** What docs/scan.md says that no server tells of, and a link looks for by itself. */
    private static final List<String> NOT_TOLD = List.of(
            "XGROUP CREATE x g 0",
            "XREADGROUP GROUP g me COUNT 1 STREAMS x >",
            "XCLAIM x g you 0 2-1",
            "XACK x g 2-1",
            "XGROUP SETID x g 0",
            "XGROUP DELCONSUMER x g me",
            "XGROUP DESTROY x g",
            "XSETID x 9-9",
            "SWAPDB 0 5",
            "SWAPDB 0 5");

    @ParameterizedTest
    @MethodSource("servers")
    void eachServerTellsOfAllKeysButOfWhatIsKnownNotToBeTold(ServerBinary binary) throws Exception {
        DirtyKeys dirty = new DirtyKeys(Environment.system(), "link", DirtyKeys.BYTES_MAX, name -> true);
        try (RealServer server = RealServer.start(binary, folder);
                Tracking tracking = Tracking.open(Links.spec("source", server), "link", dirty, Environment.system())) {
            assertThat(dirty.isEverything()).isTrue();
            assertThat(dirty.forget(tracking.attachment())).isTrue();
            for (String line : TOLD) {
                String[] words = line.substring(0, line.indexOf(" ->")).split(" ", -1);
                if (isKnown(server, words)) {
                    assertThat(told(tracking, dirty))
                            .as(line)
                            .isEqualTo(line.substring(line.indexOf("->") + 2).strip());
                }
            }
            server.call("XADD", "x", "2-1", "f", "v");
            told(tracking, dirty);
            for (String line : NOT_TOLD) {
                server.call(line.split(" ", -1));
                assertThat(told(tracking, dirty)).as(line).isEmpty();
            }
            assertThat(Tracking.swaps(new Reply.Simple(server.text("INFO", "commandstats"))))
                    .isEqualTo(tracking.swaps() + 2);
            server.call("SET", "expires", "x", "PX", "20");
            told(tracking, dirty);
            Await.until(LIMIT, "it is gone", () -> told(tracking, dirty).equals("expires"));
            if (isKnown(server, "HPEXPIRE", "h", "20", "FIELDS", "1", "f")) {
                told(tracking, dirty);
                Await.until(
                        LIMIT, "the field is gone", () -> told(tracking, dirty).equals("h"));
            }
            for (String flush : List.of("FLUSHALL", "FLUSHDB", "FLUSHALL ASYNC")) {
                server.call(flush.split(" ", -1));
                told(tracking, dirty);
                assertThat(dirty.isEverything()).as(flush).isTrue();
                dirty.forget(tracking.attachment());
            }
            server.call("SET", "evicted", "x");
            told(tracking, dirty);
            server.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru");
            server.call("CONFIG", "SET", "maxmemory", "1");
            assertThatThrownBy(() -> server.call("SET", "more", "x")).hasMessageContaining("OOM");
            assertThat(told(tracking, dirty)).isEqualTo("evicted");
        }
    }

    /** What clients were not answered yet is told as well, when it had run. */
    @ParameterizedTest
    @MethodSource("servers")
    void behindTheBarrierAllIsToldThatHadRunBeforeIt(ServerBinary binary) throws Exception {
        DirtyKeys dirty = new DirtyKeys(Environment.system(), "link", DirtyKeys.BYTES_MAX, name -> true);
        try (RealServer server = RealServer.start(binary, folder);
                Jedis client = server.client();
                Tracking tracking = Tracking.open(Links.spec("source", server), "link", dirty, Environment.system())) {
            for (int round = 0; round < 50; round++) {
                dirty.forget(tracking.attachment());
                try (Pipeline pipeline = client.pipelined()) {
                    for (int i = 0; i < 300; i++) {
                        pipeline.set("key" + i, "x");
                    }
                    pipeline.eval("for i = 1, 300 do redis.call('SET', 'more' .. i, 'x') end");
                    pipeline.sync();
                }
                assertThat(tracking.barrier(Deadline.in(Environment.system(), LIMIT)))
                        .isTrue();
                assertThat(dirty.size()).isEqualTo(600);
            }
        }
    }

    private static boolean isKnown(RealServer server, String... words) {
        try {
            server.call(words);
            return true;
        } catch (JedisDataException e) {
            assertThat(e).hasMessageContaining("unknown command");
            return false;
        }
    }

    private static String told(Tracking tracking, DirtyKeys dirty) {
        assertThat(tracking.barrier(Deadline.in(Environment.system(), LIMIT))).isTrue();
        return dirty.take(1000).stream()
                .map(name -> new String(name, UTF_8))
                .sorted()
                .collect(Collectors.joining(" "));
    }
}
