package io.switchback.bench;

import io.switchback.bench.LoadTool.Way;
import io.switchback.bench.SideBySide.Side;
import io.switchback.testkit.Ports;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerTls;
import io.switchback.testkit.TestCertificates;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import picocli.CommandLine.Command;
import redis.clients.jedis.Jedis;

/** {@code bench/run tls}: what TLS costs on either side of a node. Needs the openssl command. */
@Command(
        name = "bench/run tls",
        description = {
            "GET and SET by clients that speak TLS to a node, where the node speaks to its server in the clear or TLS as well, beside all in the"
                    + " clear and beside TLS straight to the server.",
            "Takes about eight minutes, with --quick one. Needs openssl, and a redis-benchmark that was built with TLS."
        },
        mixinStandardHelpOptions = true)
final class TlsBench extends Measurement {
    private static final int KEYS = 100_000;
    private static final int VALUE_BYTES = 64;

    /** Each time the tool opens its 50 connections, asks once over each, and one that asks for its server's settings. */
    private static final int ROUNDS_OF_CONNECTIONS = 40;

    private static final int QUICK_ROUNDS_OF_CONNECTIONS = 4;
    private static final int CONNECTIONS_OF_A_ROUND = 51;
    private static final long REQUESTS_OF_A_ROUND = 50;
    private static final double MILLIS = 1e3;

    TlsBench(Path launcher) {
        super(launcher);
    }

    @Override
    void measure(Path folder) {
        TestCertificates authority = TestCertificates.in(folder.resolve("certificates"));
        TestCertificates.Pair ofNodes = authority.issue("node");
        int portOfOne = Ports.free();
        int portOfBoth = Ports.free();
        ServerTls tls = new ServerTls(authority, authority.issue("server"), false, false);
        try (RealServer clear = RealServer.start(server(), folder.resolve("clear"));
                RealServer secret = RealServer.startWithTls(server(), folder.resolve("secret"), tls);
                NodeProcess none = node(folder.resolve("none"), toClear(clear));
                NodeProcess one = node(folder.resolve("one"), toClear(clear) + listening(ofNodes, portOfOne));
                NodeProcess both =
                        node(folder.resolve("both"), toSecret(secret, authority) + listening(ofNodes, portOfBoth))) {
            List<Long> ofClear = List.of(clear.pid());
            List<Long> ofSecret = List.of(secret.pid());
            List<Side> sides = List.of(
                    new Side(
                            "in the clear through a node",
                            Way.plain(none.port(), KEYS),
                            OptionalLong.of(none.processId()),
                            ofClear),
                    new Side("TLS to the node", tls(portOfOne, authority), OptionalLong.of(one.processId()), ofClear),
                    new Side(
                            "TLS to the node and to the server",
                            tls(portOfBoth, authority),
                            OptionalLong.of(both.processId()),
                            ofSecret),
                    new Side("in the clear, directly", Way.plain(clear.port(), KEYS), OptionalLong.empty(), ofClear),
                    new Side("TLS, directly", tls(secret.port(), authority), OptionalLong.empty(), ofSecret));
            for (RealServer server : List.of(clear, secret)) {
                try (Jedis client = server.client()) {
                    ThroughputBench.preload(client, KEYS, VALUE_BYTES);
                }
            }
            List<Case> cases = new ArrayList<>();
            for (String operation : List.of("get", "set")) {
                for (int pipeline : isQuick() ? List.of(16) : List.of(1, 16, 64)) {
                    cases.add(new Case(operation, pipeline, VALUE_BYTES));
                }
            }
            note("sides", sideBySide(sides, cases));
            say("The 51 handshakes of each run are among the figures.%n");
            connections(sides);
        }
    }

    private static String toClear(RealServer server) {
        return """
                active: blue
                fleets:
                  blue: { standalone: 127.0.0.1:%d }
                """.formatted(server.port());
    }

    private static String toSecret(RealServer server, TestCertificates authority) {
        return """
                active: blue
                fleets:
                  blue: { standalone: 127.0.0.1:%d, tls: { ca: "file:%s" } }
                """.formatted(server.port(), authority.authority().toAbsolutePath());
    }

    private static String listening(TestCertificates.Pair own, int port) {
        return """
                tls: { listen: 127.0.0.1:%d, cert: "file:%s", key: "file:%s" }
                """.formatted(port, own.certificate().toAbsolutePath(), own.key().toAbsolutePath());
    }

    private static Way tls(int port, TestCertificates authority) {
        return new Way(
                port,
                false,
                KEYS,
                List.of(
                        "--tls",
                        "--cacert",
                        authority.authority().toAbsolutePath().toString()));
    }

    /** What a connection costs that asks once. */
    private void connections(List<Side> sides) {
        LoadTool tool = LoadTool.find();
        int rounds = isQuick() ? QUICK_ROUNDS_OF_CONNECTIONS : ROUNDS_OF_CONNECTIONS;
        Case once = new Case("get", 1, VALUE_BYTES);
        Map<String, Double> each = new LinkedHashMap<>();
        for (int round = 0; round < rounds; round++) {
            for (Side side : sides) {
                double before = seconds(side);
                tool.run(side.way(), once, REQUESTS_OF_A_ROUND);
                each.merge(side.name(), seconds(side) - before, Double::sum);
            }
        }
        say(
                "A connection that is opened, asks once and is closed, in processor time of the node (directly: of the server), of %d:%n",
                rounds * CONNECTIONS_OF_A_ROUND);
        say("| way | ms |");
        say("| --- | --- |");
        each.replaceAll((name, seconds) -> seconds * MILLIS / rounds / CONNECTIONS_OF_A_ROUND);
        each.forEach((name, millis) -> say("| %s | %.2f |", name, millis));
        note("connectionMillis", each);
    }

    private static double seconds(Side side) {
        return Machine.processSeconds(side.proxy().orElse(side.servers().getFirst()));
    }
}
