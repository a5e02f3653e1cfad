package io.switchback.server;

import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealSentinels;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.SwitchbackUser;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;

/** A real fleet of any kind, and how a node's file names it. */
public interface SomeFleet extends AutoCloseable {
    /** What the node's file says of it. */
    String yaml();

    /** The servers that are its primaries now. */
    List<RealServer> primaries();

    @Override
    void close();

    /** One server. */
    static SomeFleet single(ServerBinary binary, Path folder, String... arguments) {
        return of(RealServer.start(binary, folder, arguments), SwitchbackUser.APPLY);
    }

    /** One server whose user may follow nobody's stream and change no settings, as managed services have it. */
    static SomeFleet managed(ServerBinary binary, Path folder) {
        return of(RealServer.start(binary, folder), SwitchbackUser.SCAN);
    }

    private static SomeFleet of(RealServer server, SwitchbackUser user) {
        return new SomeFleet() {
            @Override
            public String yaml() {
                return "{ standalone: \"127.0.0.1:" + server.port() + "\", " + user.yaml() + " }";
            }

            @Override
            public List<RealServer> primaries() {
                return List.of(server);
            }

            @Override
            public void close() {
                server.close();
            }
        };
    }

    /** A primary with one replica, under three sentinels. */
    static WatchedFleet watched(ServerBinary binary, Path folder) {
        return new WatchedFleet(RealSentinels.start(binary, folder, 1), SwitchbackUser.APPLY);
    }

    /** As {@link #watched}, where nobody may be followed. */
    static WatchedFleet managedWatched(ServerBinary binary, Path folder) {
        return new WatchedFleet(RealSentinels.start(binary, folder, 1), SwitchbackUser.SCAN);
    }

    /** Servers under sentinels that a test does something to. */
    record WatchedFleet(RealSentinels sentinels, SwitchbackUser user) implements SomeFleet {
        @Override
        public String yaml() {
            return sentinels.endpoints().stream()
                    .map(one -> "\"" + one + "\"")
                    .collect(Collectors.joining(
                            ", ",
                            "{ sentinel: { primary: " + sentinels.primaryName() + ", sentinels: [",
                            "] }, " + user.yaml() + " }"));
        }

        @Override
        public List<RealServer> primaries() {
            return List.of(sentinels.primary());
        }

        @Override
        public void close() {
            sentinels.close();
        }
    }

    /** As many primaries, each with some replicas. */
    static ClusterFleet cluster(ServerBinary binary, Path folder, int primaries, int replicas) {
        return new ClusterFleet(RealCluster.start(binary, folder, primaries, replicas), SwitchbackUser.APPLY);
    }

    /** As {@link #cluster}, where nobody may be followed. */
    static ClusterFleet managedCluster(ServerBinary binary, Path folder, int primaries, int replicas) {
        return new ClusterFleet(RealCluster.start(binary, folder, primaries, replicas), SwitchbackUser.SCAN);
    }

    /** A cluster that a test does something to. */
    record ClusterFleet(RealCluster cluster, SwitchbackUser user) implements SomeFleet {
        @Override
        public String yaml() {
            return cluster.nodes().stream()
                    .map(one -> "\"127.0.0.1:" + one.port() + "\"")
                    .collect(Collectors.joining(", ", "{ cluster: [", "], " + user.yaml() + " }"));
        }

        @Override
        public List<RealServer> primaries() {
            return cluster.nodes().stream()
                    .filter(node -> node.process().isAlive())
                    .filter(node -> node.info("replication", "role").equals("master"))
                    .toList();
        }

        @Override
        public void close() {
            cluster.close();
        }
    }

    /** A node's file between two of them. */
    static String nodeFile(SomeFleet blue, SomeFleet green) {
        return """
                node: test-1
                admin: { listen: "127.0.0.1:0", token: secret-of-the-test }
                ledger: embedded:./data
                caches:
                  sessions:
                    listen: "127.0.0.1:0"
                    active: blue
                    fleets:
                      blue: %s
                      green: %s
                """.formatted(blue.yaml(), green.yaml());
    }

    /** A node between two of them, which stay the caller's to close. */
    static TwoFleets between(SomeFleet blue, SomeFleet green, Path folder) {
        return TwoFleets.of(blue.primaries().getFirst(), green.primaries().getFirst(), folder, nodeFile(blue, green));
    }
}
