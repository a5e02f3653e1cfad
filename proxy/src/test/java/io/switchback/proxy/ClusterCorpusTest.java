package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.proxy.KnownDifferences.Exchanged;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.CommandKeys;
import io.switchback.resp.CommandRule;
import io.switchback.resp.CommandRule.Placement;
import io.switchback.resp.CommandTable;
import io.switchback.resp.Reply;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.SwitchbackUser;
import java.io.ByteArrayOutputStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/**
 * As {@link CommandCorpusTest}, in front of a cluster: two clusters of one shard get the same commands for keys of one slot, one directly, one through
 * the proxy, and answer alike. What a cluster of several shards answers differently is in {@link ClusterTest}.
 */
class ClusterCorpusTest {
    private static final long SEED = Long.getLong("switchback.corpus.seed", 20);
    private static final int CASES_PER_COMMAND = Integer.getInteger("switchback.corpus.cases", 12);
    private static final int CASES_PER_STATE = 4;
    private static final int DIFFERENCES_SHOWN_MAX = 40;
    private static final String TAG = "{t}";

    private static final String STATE = """
            local t = '{t}'
            redis.call('DEL', t..'str', t..'list', t..'hash', t..'set', t..'iset', t..'zset', t..'stream', t..'geo', t..'hll', t..'none', t..'dst',
              t..'', t..'vec', t..'bin\\r\\n\\0\\255key', t..'a', t..'1', t..'x', t..'2', t..'-1', t..'extra', t..'zz')
            redis.call('SET', t..'str', '10')
            redis.call('RPUSH', t..'list', 'a', '1', 'b', 'a')
            redis.call('HSET', t..'hash', 'a', '1', 'b', 'x')
            redis.call('SADD', t..'set', 'a', 'b', 'c')
            redis.call('SADD', t..'iset', '1', '2', '3')
            redis.call('ZADD', t..'zset', '1', 'a', '2', 'b', '3', 'c')
            redis.call('XADD', t..'stream', '1-1', 'a', '1')
            redis.call('XADD', t..'stream', '2-1', 'b', '2')
            redis.call('XGROUP', 'CREATE', t..'stream', 'g', '0')
            redis.call('GEOADD', t..'geo', '13.36', '38.11', 'a', '15.08', '37.5', 'b')
            redis.call('PFADD', t..'hll', 'a', 'b', 'c')
            return 'made'
            """;

    @TestFactory
    List<DynamicTest> everyInvocationForKeysOfOneSlotIsAnsweredAsTheClusterAnswersIt(@TempDir Path folder) {
        return ServerBinary.matrix().stream()
                .map(binary ->
                        DynamicTest.dynamicTest(binary.name(), () -> compare(binary, folder.resolve(binary.name()))))
                .toList();
    }

    private static void compare(ServerBinary binary, Path folder) {
        int version = binary.isValkey() ? 7 : binary.version().charAt(0) - '0';
        try (RealCluster direct = RealCluster.start(binary, folder.resolve("direct"), 1, 0);
                RealCluster behind = RealCluster.start(binary, folder.resolve("behind"), 1, 0);
                CacheProxy proxy = ProxyFixture.proxy(ClusterFixture.route("blue", behind, 1))) {
            List.of(direct, behind).forEach(cluster -> cluster.nodes().forEach(SwitchbackUser::removeAll));
            proxy.topology("blue", ClusterFixture.topology(behind.nodes()));
            try (RawClient toServer =
                            new RawClient(ProxyFixture.endpoint(direct.nodes().getFirst()));
                    RawClient toProxy = ProxyFixture.client(proxy)) {
                toServer.call("HELLO", binary.isValkey() ? "3" : "2");
                toProxy.call("HELLO", binary.isValkey() ? "3" : "2");
                toServer.call("SET", "payload", "10");
                String dump = toServer.raw("DUMP", "payload");
                String payload = dump.substring(dump.indexOf('\n') + 1, dump.length() - 2);
                toServer.call("DEL", "payload");
                List<String> differences = new ArrayList<>();
                Set<String> compared = new HashSet<>();
                int cases = 0;
                for (ServerManual.Command command : ServerManual.read(toServer)) {
                    List<List<String>> invocations =
                            CommandCorpus.of(command, payload, SEED, CASES_PER_COMMAND).stream()
                                    .filter(ClusterCorpusTest::isComparable)
                                    .map(ClusterCorpusTest::tagged)
                                    .toList();
                    int perState = command.name().contains("expire") ? 1 : CASES_PER_STATE;
                    for (int i = 0; i < invocations.size(); i += perState) {
                        List<List<String>> some = invocations.subList(i, Math.min(i + perState, invocations.size()));
                        for (RawClient client : List.of(toServer, toProxy)) {
                            ByteArrayOutputStream all = new ByteArrayOutputStream();
                            all.writeBytes(CommandEncoder.encode("EVAL", STATE, "1", TAG));
                            some.forEach(words -> all.writeBytes(CommandEncoder.encode(CommandCorpus.bytes(words))));
                            client.sendRaw(all.toByteArray());
                        }
                        assertThat(toServer.reply().text()).isEqualTo("made");
                        assertThat(toProxy.reply().text()).isEqualTo("made");
                        for (List<String> words : some) {
                            Exchanged expected = exchanged(toServer);
                            Exchanged proxied = exchanged(toProxy);
                            cases++;
                            compared.add(command.name());
                            if (!KnownDifferences.allows(command.name(), version, proxied, expected)
                                    && differences.size() < DIFFERENCES_SHOWN_MAX) {
                                differences.add("\n" + CommandCorpus.shown(words) + "\n  through the proxy: "
                                        + CommandCorpus.quoted(proxied.bytes()) + "\n  directly:          "
                                        + CommandCorpus.quoted(expected.bytes()));
                            }
                        }
                    }
                }
                assertThat(differences).isEmpty();
                assertThat(compared).hasSizeGreaterThan(150);
                assertThat(cases).isGreaterThan(1_500);
            }
        }
    }

    private static Exchanged exchanged(RawClient client) {
        Reply reply = client.reply();
        return new Exchanged(reply, client.bytesOfReply());
    }

    /** Not what Switchback answers itself or refuses, and not what waits. */
    private static boolean isComparable(List<String> words) {
        CommandRule rule = CommandTable.find(CommandCorpus.bytes(words));
        if (rule == null) {
            return false;
        }
        Placement placement = CommandTable.placement(rule, CommandCorpus.bytes(words));
        boolean isPassedOn = switch (rule.treatment()) {
            case PLAIN, SCRIPT, FILTERED, BLOCKING -> true;
            case SESSION, REFUSED, BY_SUBCOMMAND -> false;
        };
        return isPassedOn && placement != Placement.REFUSED && placement != Placement.SWITCHBACK;
    }

    /** With the tag before each key. */
    private static List<String> tagged(List<String> words) {
        CommandRule rule = CommandTable.find(words.getFirst());
        if (rule == null) {
            return words;
        }
        ByteBuf in = Unpooled.wrappedBuffer(CommandEncoder.encode(CommandCorpus.bytes(words)));
        CommandKeys keys = new CommandKeys();
        int count = keys.find(in, 0, rule.keys());
        List<String> tagged = new ArrayList<>(words);
        for (int i = 0; i < count; i++) {
            tagged.set(keys.word(i), TAG + new String(keys.key(in, i), ISO_8859_1));
        }
        return tagged;
    }
}
