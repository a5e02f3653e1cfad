package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.proxy.KnownDifferences.Exchanged;
import io.switchback.proxy.ServerManual.Command;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.CommandRule;
import io.switchback.resp.CommandRule.Treatment;
import io.switchback.resp.CommandTable;
import io.switchback.resp.Protocol;
import io.switchback.resp.Reply;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.SwitchbackUser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/**
 * Every command that a server says it has, with arguments made of what it says of them, directly and through the proxy: the same
 * replies, or a difference that is known ({@link KnownDifferences}).
 *
 * <p>Two fresh servers get the same commands in the same order. The keys are made anew before each {@value #CASES_PER_STATE}
 * cases; these are sent at once, so that the proxy has runs of them. A command that belongs to the session has connections of
 * its own.
 *
 * <p>{@code -Dswitchback.corpus.cases=1000} takes up to so many cases of each command, {@code -Dswitchback.corpus.seed} others,
 * {@code -Dswitchback.corpus.command=xadd} those of one command.
 */
class CommandCorpusTest {
    private static final long SEED = Long.getLong("switchback.corpus.seed", 20);
    private static final int CASES_PER_COMMAND = Integer.getInteger("switchback.corpus.cases", 25);
    private static final String ONLY = System.getProperty("switchback.corpus.command", "");
    private static final String ONLY_ON = System.getProperty("switchback.corpus.server", "");
    /** What is sent behind a command of the session, which may have begun a transaction or asked for silence. */
    private static final String AFTER = "DISCARD\r\nCLIENT REPLY ON\r\nPING the-end\r\n";

    private static final String END = "-ERR DISCARD without MULTI\r\n+OK\r\n$7\r\nthe-end\r\n";
    private static final String ONE_ELEMENT = "*1\r\n";
    private static final int CASES_IN_TRANSACTION = 5;
    private static final int CASES_PER_STATE = 4;
    private static final int STATES_AT_ONCE = 12;
    private static final int DIFFERENCES_SHOWN_MAX = Integer.getInteger("switchback.corpus.shown", 40);

    /** Makes the keys as they were, in one command. */
    private static final String STATE = """
            local b = 'bin\\r\\n\\0\\255key'
            for db = 1, 0, -1 do
              redis.call('SELECT', db)
              redis.call('DEL', 'str', 'list', 'hash', 'set', 'iset', 'zset', 'stream', 'geo', 'hll', 'none', 'dst', '', 'vec', b,
                'a', '1', 'x', '2', '-1', 'extra', 'zz')
            end
            redis.call('SET', 'str', '10')
            redis.call('RPUSH', 'list', 'a', '1', 'b', 'a')
            redis.call('HSET', 'hash', 'a', '1', 'b', 'x')
            redis.call('SADD', 'set', 'a', 'b', 'c')
            redis.call('SADD', 'iset', '1', '2', '3')
            redis.call('ZADD', 'zset', '1', 'a', '2', 'b', '3', 'c')
            redis.call('XADD', 'stream', '1-1', 'a', '1')
            redis.call('XADD', 'stream', '2-1', 'b', '2')
            redis.call('XGROUP', 'CREATE', 'stream', 'g', '0')
            redis.call('GEOADD', 'geo', '13.36', '38.11', 'a', '15.08', '37.5', 'b')
            redis.call('PFADD', 'hll', 'a', 'b', 'c')
            redis.call('SET', b, 'v\\r\\n\\0')
            redis.pcall('VADD', 'vec', 'VALUES', '3', '1', '2', '3', 'a')
            return 'made'
            """;

    @TestFactory
    List<DynamicTest> everyInvocationOfEveryCommandIsAnsweredAsTheServerAnswersItOrDiffersAsIsWrittenDown(
            @TempDir Path folder) {
        List<DynamicTest> tests = new ArrayList<>();
        for (ServerBinary binary : servers()) {
            for (Protocol protocol : Protocol.values()) {
                String name = binary.name() + "-" + protocol;
                tests.add(DynamicTest.dynamicTest(name, () -> {
                    try (Comparing comparing = new Comparing(binary, protocol, folder.resolve(name))) {
                        comparing.run();
                    }
                }));
            }
        }
        return tests;
    }

    @Test
    void thePageOnDifferencesSaysWhatIsComparedAndHow() throws IOException {
        Path page = Path.of("..", "docs", "differences.md");
        String generated = KnownDifferences.page();
        if (Boolean.getBoolean("switchback.writeDocs")) {
            Files.writeString(page, generated, UTF_8);
        }
        assertThat(Files.readString(page, UTF_8))
                .as("docs/differences.md; write it again with -Dswitchback.writeDocs=true")
                .isEqualTo(generated);
    }

    private static List<ServerBinary> servers() {
        List<ServerBinary> matrix = ServerBinary.matrix();
        return (matrix.isEmpty() ? ServerBinary.found() : matrix)
                .stream().filter(binary -> binary.name().contains(ONLY_ON)).toList();
    }

    /** One server's commands in one protocol. */
    private static final class Comparing implements AutoCloseable {
        private final Protocol protocol;
        private final RealServer direct;
        private final RealServer behind;
        private final CacheProxy proxy;
        private final String payload;
        private final int version;
        private final List<Command> commands;
        private final List<String> differences = new ArrayList<>();
        private final Map<String, Integer> differing = new TreeMap<>();
        private int cases;
        private final Set<String> compared = new HashSet<>();

        Comparing(ServerBinary binary, Protocol protocol, Path folder) {
            this.protocol = protocol;
            this.version = binary.isValkey() ? 7 : binary.version().charAt(0) - '0';
            direct = RealServer.start(binary, folder.resolve("direct"));
            behind = RealServer.start(binary, folder.resolve("behind"));
            List.of(direct, behind).forEach(SwitchbackUser::removeAll);
            proxy = ProxyFixture.proxy(ProxyFixture.route("old", behind, 1));
            try (RawClient client = new RawClient(ProxyFixture.endpoint(direct))) {
                commands = withDocsFromElsewhere(ServerManual.read(client), folder);
                client.call("SET", "str", "10");
                String dump = client.raw("DUMP", "str");
                payload = dump.substring(dump.indexOf('\n') + 1, dump.length() - 2);
                client.call("DEL", "str");
            }
        }

        /** Redis 6.0 has COMMAND and nothing more: what a newer server says of the same commands comes on top of their arity. */
        private static List<Command> withDocsFromElsewhere(List<Command> own, Path folder) {
            Optional<ServerBinary> newer = ServerBinary.named("redis-7.0");
            if (own.stream().anyMatch(command -> !command.group().isEmpty()) || newer.isEmpty()) {
                return own;
            }
            Set<String> names = new HashSet<>();
            own.forEach(command -> names.add(command.name()));
            List<Command> all = new ArrayList<>(own);
            try (RealServer server = RealServer.start(newer.get(), folder.resolve("docs"));
                    RawClient client = new RawClient(ProxyFixture.endpoint(server))) {
                for (Command command : ServerManual.read(client)) {
                    if (names.contains(command.name().replaceFirst("\\|.*", ""))) {
                        all.add(command);
                    }
                }
            }
            return all;
        }

        void run() {
            refused();
            plain();
            session();
            inTransactions();
            assertThat(differences)
                    .as(
                            "%s: %s cases of %s commands; seed %s; differing %s",
                            direct, cases, compared.size(), SEED, differing)
                    .isEmpty();
            if (ONLY.isEmpty()) {
                assertThat(compared).hasSizeGreaterThan(200);
                assertThat(cases).isGreaterThan(5000);
            }
        }

        private List<List<String>> invocations(Command command) {
            if (!ONLY.isEmpty() && !command.name().equals(ONLY)) {
                return List.of();
            }
            return CommandCorpus.of(command, payload, SEED + protocol.version(), CASES_PER_COMMAND);
        }

        private static @Nullable CommandRule rule(List<String> words) {
            return CommandTable.find(CommandCorpus.bytes(words));
        }

        /** Answered by the reason in the table, whatever the arguments, and never seen by the server. */
        private void refused() {
            Set<String> names = new HashSet<>();
            try (RawClient client = client(ProxyFixture.client(proxy))) {
                for (Command command : commands) {
                    for (List<String> words : invocations(command)) {
                        CommandRule rule = rule(words);
                        if (rule == null
                                || rule.treatment() != Treatment.REFUSED
                                || rule.name().matches("post|host:")) {
                            continue;
                        }
                        String expected = "-ERR switchback: " + KnownDifferences.upper(rule.name()) + " is refused: "
                                + rule.note() + "\r\n";
                        client.sendRaw(CommandEncoder.encode(CommandCorpus.bytes(words)));
                        String answered = client.rawReply();
                        cases++;
                        compared.add(command.name());
                        names.add(command.words().getFirst().toLowerCase(Locale.ROOT));
                        if (!answered.equals(expected)) {
                            different(command, words, answered, expected);
                        }
                    }
                }
            }
            String seen = behind.text("INFO", "commandstats");
            for (String name : names) {
                if (!Set.of("client", "cluster", "script").contains(name)) {
                    assertThat(seen).as("never sent").doesNotContain("cmdstat_" + name + ":");
                }
            }
        }

        private record Case(Command command, List<String> words) {}

        private void plain() {
            try (RawClient toServer = client(new RawClient(ProxyFixture.endpoint(direct)));
                    RawClient toProxy = client(ProxyFixture.client(proxy))) {
                List<Case> batch = new ArrayList<>();
                for (Command command : commands) {
                    for (List<String> words : invocations(command)) {
                        CommandRule rule = rule(words);
                        if (rule != null && isPassedOn(rule)) {
                            batch.add(new Case(command, words));
                        }
                        if (batch.size() == CASES_PER_STATE * STATES_AT_ONCE) {
                            compare(batch, toServer, toProxy);
                            batch.clear();
                        }
                    }
                }
                compare(batch, toServer, toProxy);
            }
        }

        private static boolean isPassedOn(CommandRule rule) {
            return switch (rule.treatment()) {
                case PLAIN, SCRIPT, FILTERED, BLOCKING -> true;
                case SESSION, REFUSED, BY_SUBCOMMAND -> false;
            };
        }

        private void compare(List<Case> batch, RawClient toServer, RawClient toProxy) {
            List<byte[]> sent = new ArrayList<>();
            for (int i = 0; i < batch.size(); i++) {
                if (beginsState(batch, i)) {
                    sent.add(CommandEncoder.encode("EVAL", STATE, "0"));
                }
                sent.add(CommandEncoder.encode(CommandCorpus.bytes(batch.get(i).words())));
            }
            byte[] bytes = String.join(
                            "",
                            sent.stream()
                                    .map(one -> new String(one, ISO_8859_1))
                                    .toList())
                    .getBytes(ISO_8859_1);
            toServer.sendRaw(bytes);
            toProxy.sendRaw(bytes);
            for (int i = 0; i < batch.size(); i++) {
                if (beginsState(batch, i)) {
                    assertThat(toServer.reply().text()).as("state").isEqualTo("made");
                    assertThat(toProxy.reply().text()).as("state").isEqualTo("made");
                }
                Case one = batch.get(i);
                compare(one, exchanged(toProxy), exchanged(toServer));
            }
        }

        /** What compares a time to live with one that the case before it has set would depend on the millisecond. */
        private static boolean beginsState(List<Case> batch, int index) {
            return index % CASES_PER_STATE == 0
                    || batch.get(index).command().name().contains("expire");
        }

        private static Exchanged exchanged(RawClient client) {
            Reply reply = client.reply();
            return new Exchanged(reply, client.bytesOfReply());
        }

        private void compare(Case one, Exchanged proxied, Exchanged direct) {
            cases++;
            compared.add(one.command().name());
            if (!KnownDifferences.allows(one.command().name(), version, proxied, direct)) {
                different(one.command(), one.words(), proxied.bytes(), direct.bytes());
            }
        }

        private void different(Command command, List<String> words, String proxied, String direct) {
            if (differing.merge(command.name(), 1, Integer::sum) <= 3 && differences.size() < DIFFERENCES_SHOWN_MAX) {
                differences.add("\n" + CommandCorpus.shown(words) + "\n  through the proxy: "
                        + CommandCorpus.quoted(proxied) + "\n  directly:          " + CommandCorpus.quoted(direct));
            }
        }

        // --- commands of the session

        private void session() {
            for (Command command : commands) {
                for (List<String> words : invocations(command)) {
                    CommandRule rule = rule(words);
                    if (rule == null || rule.treatment() != Treatment.SESSION) {
                        continue;
                    }
                    String proxied = converse(ProxyFixture.client(proxy), text(words));
                    String expected = converse(new RawClient(ProxyFixture.endpoint(direct)), text(words));
                    compareWhole(new Case(command, words), proxied, expected);
                }
            }
        }

        // --- within MULTI

        /** Each alone between MULTI and EXEC: what queues it, and what EXEC then says. */
        private void inTransactions() {
            try (RawClient toServer = client(new RawClient(ProxyFixture.endpoint(direct)));
                    RawClient toProxy = client(ProxyFixture.client(proxy))) {
                for (Command command : commands) {
                    List<List<String>> some = invocations(command);
                    for (List<String> words : some.subList(0, Math.min(some.size(), CASES_IN_TRANSACTION))) {
                        CommandRule rule = rule(words);
                        if (rule != null && isPassedOn(rule) && !goesOnScanning(rule, words)) {
                            inTransaction(new Case(command, words), toServer, toProxy);
                        } else if (rule != null && rule.treatment() == Treatment.SESSION) {
                            sessionInTransaction(new Case(command, words), rule);
                        }
                    }
                }
            }
        }

        private static boolean goesOnScanning(CommandRule rule, List<String> words) {
            int cursor = rule.name().equals("scan") ? 1 : 2;
            return rule.name().matches("[hsz]?scan")
                    && words.size() > cursor
                    && !words.get(cursor).equals("0");
        }

        private void inTransaction(Case one, RawClient toServer, RawClient toProxy) {
            for (RawClient client : List.of(toServer, toProxy)) {
                client.sendRaw(text(List.of("EVAL", STATE, "0")) + "MULTI\r\n" + text(one.words()) + "EXEC\r\n");
                assertThat(client.reply().text()).isEqualTo("made");
                assertThat(client.reply().text()).isEqualTo("OK");
            }
            compare(one, exchanged(toProxy), exchanged(toServer));
            compare(one, onlyElement(exchanged(toProxy)), onlyElement(exchanged(toServer)));
        }

        private static Exchanged onlyElement(Exchanged one) {
            return one.bytes().startsWith(ONE_ELEMENT) && one.reply() instanceof Reply.Array(List<Reply> elements)
                    ? new Exchanged(elements.getFirst(), one.bytes().substring(ONE_ELEMENT.length()))
                    : one;
        }

        private void sessionInTransaction(Case one, CommandRule rule) {
            String commands = "MULTI\r\n" + text(one.words()) + "EXEC\r\n";
            String proxied = converse(ProxyFixture.client(proxy), commands);
            String expected = KnownDifferences.refusalInTransaction(rule)
                    .map(refusal -> "+OK\r\n" + refusal + END)
                    .orElseGet(() -> converse(new RawClient(ProxyFixture.endpoint(direct)), commands));
            compareWhole(one, proxied, expected);
        }

        private void compareWhole(Case one, String proxied, String expected) {
            // What comes behind must be alike in any case.
            boolean sameEnd = proxied.endsWith(END) && expected.endsWith(END);
            int cut = sameEnd ? END.length() : 0;
            compare(one, whole(proxied, cut), whole(expected, cut));
        }

        private static Exchanged whole(String bytes, int cut) {
            String kept = bytes.substring(0, bytes.length() - cut);
            return new Exchanged(new Reply.Simple(kept), kept.isEmpty() ? " " : kept);
        }

        private String converse(RawClient fresh, String commands) {
            try (RawClient client = client(fresh)) {
                // In one piece, since the first may be the connection's last.
                client.sendRaw(commands + AFTER);
                return client.readUntil("the-end\r\n");
            }
        }

        private static String text(List<String> words) {
            return new String(CommandEncoder.encode(CommandCorpus.bytes(words)), ISO_8859_1);
        }

        private RawClient client(RawClient fresh) {
            assertThat(fresh.call("HELLO", Integer.toString(protocol.version())).isError())
                    .isFalse();
            return fresh;
        }

        @Override
        public void close() {
            proxy.close();
            behind.close();
            direct.close();
        }
    }
}
