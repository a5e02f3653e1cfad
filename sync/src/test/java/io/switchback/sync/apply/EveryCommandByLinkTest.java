package io.switchback.sync.apply;

import static io.switchback.sync.apply.Links.LIMIT;
import static io.switchback.sync.apply.Links.drain;
import static io.switchback.sync.apply.Links.endpoint;
import static io.switchback.sync.apply.Links.spec;
import static io.switchback.sync.apply.Links.streams;
import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Environment;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.Token;
import io.switchback.resp.Reply;
import io.switchback.sync.CarriedKeys;
import io.switchback.sync.LinkStart;
import io.switchback.sync.source.CopyLimits;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.values.EveryForm;
import io.switchback.testkit.values.Scenario;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Every write command that a server has (write-commands.txt, which {@code EveryCommandOnEveryServerTest} holds against each server's own COMMAND) is run at it while links apply its stream
 * to an older and to a newer server: by clients, by a script for each line, and by a function for each line. Then the sides are compared key by key. A third link carries some of the keys alone, and all by
 * other names, so that most commands of several keys are about one that is carried and one that is not.
 */
class EveryCommandByLinkTest {
    /** How far a time may be off: sources below 7.0 tell relative ones, and none is read in the same moment on both sides. */
    private static final long ABOUT_MS = 2_000;

    private static final String SEVERAL = """
            local i = 1
            while i <= #%1$s do
              local words = {}
              for j = 1, tonumber(%1$s[i]) do words[j] = %1$s[i + j] end
              redis.pcall(unpack(words))
              i = i + #words + 1
            end
            """;
    private static final String SCRIPT = SEVERAL.formatted("ARGV");
    private static final String LIBRARY =
            "#!lua name=several\nredis.register_function('several', function(keys, args)\n" + SEVERAL.formatted("args")
                    + "end)";

    /** What a script may not run, or cannot: it neither waits nor sleeps. */
    private static final Set<String> OF_CLIENTS_ALONE =
            Set.of("MULTI", "EXEC", "EVAL", "SCRIPT", "FUNCTION", "FCALL", "SELECT", "FLUSHALL", "FLUSHDB", "!SLEEP");

    /** Of each scenario the first key and the third, or the second: by clients where its number is even or odd, by a script the other way round. */
    private static final CarriedKeys SOME = new CarriedKeys(
            List.of("s*[02468]:[ac]", "s*[13579]:b", "es*[13579]:[ac]", "es*[02468]:b", "fs*:[ac]"),
            List.of(),
            Set.of(),
            List.of(new CarriedKeys.Rename("", "other:")));

    @TempDir
    Path folder;

    /** Each version as a source, with an older and a newer target, where there are such. */
    static Stream<String> sources() {
        return Stream.of(
                        "redis-6.0 redis-7.0 valkey-9.1",
                        "redis-7.0 redis-6.0 redis-8.0",
                        "redis-8.0 redis-6.0 valkey-9.1",
                        "valkey-8.1 redis-7.0 valkey-9.1",
                        "valkey-9.1 redis-6.0 redis-8.0")
                .filter(names -> Stream.of(names.split(" ", -1))
                        .allMatch(name -> ServerBinary.named(name).isPresent()));
    }

    /** A server that a link leads to. */
    private record Target(RealServer server, ServerConnection connection, ApplyLink link, Heard heard, CarriedKeys keys)
            implements AutoCloseable {
        ServerBinary binary() {
            return server.binary();
        }

        /** The name here of a key of the source, both as {@link Contents} has them; null where it is not carried. */
        @Nullable
        String name(String atSource) {
            int slash = atSource.indexOf('/');
            int database = slash < 0 ? 0 : Integer.parseInt(atSource.substring(0, slash));
            byte[] name =
                    keys.there().target(database, atSource.substring(slash + 1).getBytes(UTF_8));
            return name == null ? null : atSource.substring(0, slash + 1) + new String(name, UTF_8);
        }

        @Override
        public void close() {
            link.stop();
            connection.close();
            server.close();
        }
    }

    @ParameterizedTest
    @MethodSource("sources")
    void whatAServerCanWriteComesToAnOlderAndToANewerOne(String names) {
        List<ServerBinary> binaries = Stream.of(names.split(" ", -1))
                .map(name -> ServerBinary.named(name).orElseThrow())
                .toList();
        ServerBinary binary = binaries.getFirst();
        List<Target> targets = new ArrayList<>();
        try (RealServer source = start(binary, "source");
                ServerConnection client = connect(source)) {
            boolean functions = EveryForm.knows(binary, 7, 0);
            if (functions) {
                client.demand("FUNCTION", "LOAD", LIBRARY);
            }
            try {
                binaries.subList(1, 3).forEach(target -> targets.add(open(source, target, CarriedKeys.ALL)));
                targets.add(open(source, binaries.get(2), SOME));
                Run run = new Run(client, source, targets);
                if (functions) {
                    run.together(List.of("FCALL", "several", "0"), "f");
                    compare(client, source, targets);
                }
                run.together(List.of("EVAL", SCRIPT, "0"), "e");
                compare(client, source, targets);
                run.alone();
                compare(client, source, targets);
                targets.forEach(target -> assertThat(target.heard().broken).isNull());
                assertThat(source.info("stats", "sync_full")).isEqualTo("3");
            } finally {
                targets.forEach(Target::close);
            }
        }
    }

    private Target open(RealServer source, ServerBinary binary, CarriedKeys keys) {
        String name = (keys.isAll() ? "" : "some-") + binary.name();
        RealServer server = start(binary, "target-" + name);
        Heard heard = new Heard();
        ApplyLink link = ApplyLink.open(
                new ApplySettings(
                        "to-" + name,
                        "secret",
                        Token.open(1, "owner"),
                        spec("source", source),
                        spec("target", server),
                        new LinkStart.FullCopy(Optional.empty()),
                        Optional.empty(),
                        CopyLimits.NONE,
                        keys.there()),
                Environment.system(),
                heard);
        streams(link);
        return new Target(server, connect(server), link, heard, keys);
    }

    private RealServer start(ServerBinary binary, String name) {
        return RealServer.start(
                binary, folder.resolve(name), "--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0");
    }

    private static ServerConnection connect(RealServer server) {
        return ServerConnection.open(endpoint(server), Optional.empty(), Duration.ofSeconds(20));
    }

    /** Runs the scenarios at the source. */
    private static final class Run {
        private final ServerConnection client;
        private final RealServer source;
        private final Scenario.Payloads payloads;
        private final List<Scenario> scenarios;

        Run(ServerConnection client, RealServer source, List<Target> targets) {
            this.client = client;
            this.source = source;
            client.demand("RPUSH", "dumped", "x", "y");
            this.payloads = new Scenario.Payloads(
                    ((Reply.Bulk) client.demand("DUMP", "dumped")).bytes(),
                    () -> client.call("FUNCTION", "DUMP") instanceof Reply.Bulk(byte[] bytes) ? bytes : new byte[0]);
            // docs/dialects.md: what the servers' own replication does not carry, or does otherwise from 7.0 on.
            boolean claims = EveryForm.knows(source.binary(), 7, 0);
            boolean functions = targets.stream().allMatch(target -> EveryForm.knows(target.binary(), 7, 0));
            this.scenarios = Scenario.all().stream()
                    // These break such a link (docs/apply.md, docs/dialects.md); so do all of functions to a server
                    // that knows
                    // none.
                    .filter(scenario ->
                            Stream.of("SWAPDB", "RESTORE-ASKING", "!FUNCDUMP").noneMatch(scenario.text()::contains))
                    .filter(scenario -> !scenario.text().endsWith("STREAMS $a 0"))
                    .filter(scenario -> claims || !scenario.text().contains("XDEL $a 5-1 ; X"))
                    .filter(scenario -> functions || !scenario.text().contains("FUNCTION "))
                    .toList();
        }

        void alone() {
            for (Scenario scenario : scenarios) {
                List<Thread> waiting = new ArrayList<>();
                for (String command : scenario.commands()) {
                    if (command.startsWith("!SLEEP")) {
                        // A time to live has to pass.
                        LockSupport.parkNanos(Duration.ofMillis(Long.parseLong(command.split(" ", -1)[1]))
                                .toNanos());
                        continue;
                    }
                    byte[][] words = scenario.words(command, "", System.currentTimeMillis(), payloads);
                    if (command.startsWith("&")) {
                        waiting.add(wait(words));
                    } else {
                        client.call(words);
                    }
                }
                waiting.forEach(Run::join);
            }
        }

        private Thread wait(byte[][] words) {
            Thread thread = Thread.ofVirtual().start(() -> {
                try (ServerConnection own = connect(source)) {
                    own.call(words);
                }
            });
            Await.until(
                    LIMIT,
                    "a client waits",
                    () -> !thread.isAlive()
                            || source.info("clients", "blocked_clients").equals("1"));
            return thread;
        }

        private static void join(Thread thread) {
            try {
                thread.join(LIMIT);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }

        /** Each scenario that a script may run, in one. */
        void together(List<String> call, String before) {
            int ran = 0;
            for (Scenario scenario : scenarios) {
                List<byte[]> words = new ArrayList<>();
                call.forEach(word -> words.add(word.getBytes(UTF_8)));
                boolean can = true;
                for (String command : scenario.commands()) {
                    can &= !OF_CLIENTS_ALONE.contains(command.split(" ", -1)[0]) && !command.startsWith("&");
                    if (can) {
                        byte[][] one = scenario.words(command, before, System.currentTimeMillis(), payloads);
                        words.add(Integer.toString(one.length).getBytes(UTF_8));
                        words.addAll(List.of(one));
                    }
                }
                if (can) {
                    Reply reply = client.call(words.toArray(byte[][]::new));
                    assertThat(reply.isError())
                            .as("%s: %s", scenario.text(), reply.text())
                            .isFalse();
                    ran++;
                }
            }
            assertThat(ran).isGreaterThan(250);
        }
    }

    // ---------------------------------------------------------------------------------------------- comparison

    private static void compare(ServerConnection client, RealServer source, List<Target> targets) {
        for (Target target : targets) {
            drain(source, target.link());
            String pair = source.binary().name() + " to " + target.binary().name();
            Map<String, String> expected = new TreeMap<>();
            Map<String, String> sourceNames = new TreeMap<>();
            Contents.of(List.of(source), false).forEach((key, value) -> {
                String name = target.name(key);
                if (name != null) {
                    expected.put(name, value);
                    sourceNames.put(name, key);
                }
            });
            Map<String, String> found = Contents.of(List.of(target.server()), false);
            expected.values().removeIf(value -> isLeftOut(value, target));
            assertThat(differences(expected, found)).as(pair).isEmpty();
            for (String key : expected.keySet()) {
                String value = Objects.requireNonNull(expected.get(key));
                times(client, target, Objects.requireNonNull(sourceNames.get(key)), value, pair);
            }
            assertThat(expected).as("what is compared").hasSizeGreaterThan(100);
        }
    }

    /** docs/types.md: the target has no such type, and the link says so. */
    private static boolean isLeftOut(String value, Target target) {
        boolean leftOut = value.startsWith("vectorset") && !EveryForm.knowsVectorSets(target.binary());
        if (leftOut) {
            assertThat(target.link().status().detail()).contains("a vector set, which");
        }
        return leftOut;
    }

    private static Set<String> differences(Map<String, String> expected, Map<String, String> found) {
        Map<String, String> all = new TreeMap<>(expected);
        found.forEach(all::putIfAbsent);
        Set<String> differences = new TreeSet<>();
        for (String key : all.keySet()) {
            if (!Objects.equals(expected.get(key), found.get(key))) {
                differences.add(key + " of " + scenario(key) + "\n    is " + expected.get(key) + "\n    came as "
                        + found.get(key));
            }
        }
        return differences;
    }

    private static String scenario(String key) {
        int from = key.lastIndexOf('s');
        int to = key.lastIndexOf(':');
        return from < 0 || to < from
                ? "?"
                : Scenario.all()
                        .get(Integer.parseInt(key.substring(from + 1, to)))
                        .text();
    }

    private static void times(ServerConnection source, Target target, String name, String value, String pair) {
        int slash = name.indexOf('/');
        String database = slash < 0 ? "0" : name.substring(0, slash);
        String key = name.substring(slash + 1);
        String other = Objects.requireNonNull(target.name(name));
        String keyThere = other.substring(other.indexOf('/') + 1);
        source.demand("SELECT", database);
        target.connection().demand("SELECT", database);
        long here = left(source, key);
        long there = left(target.connection(), keyThere);
        assertThat(there)
                .as("%s: time of %s", pair, name)
                .isBetween(here < 0 ? here : here - ABOUT_MS, here < 0 ? here : here + ABOUT_MS);
        if (value.startsWith("hash") && EveryForm.knowsFieldExpiry(target.binary())) {
            for (String field : List.of("f", "g")) {
                Reply one = source.call("HPEXPIRETIME", key, "FIELDS", "1", field);
                if (!one.isError()) {
                    assertThat(target.connection()
                                    .call("HPEXPIRETIME", keyThere, "FIELDS", "1", field)
                                    .text())
                            .as("%s: time of %s of %s", pair, field, name)
                            .isEqualTo(one.text());
                }
            }
        }
        source.demand("SELECT", "0");
        target.connection().demand("SELECT", "0");
    }

    private static long left(ServerConnection server, String key) {
        return ((Reply.Int) server.call("PTTL".getBytes(UTF_8), key.getBytes(ISO_8859_1))).value();
    }
}
