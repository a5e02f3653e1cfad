package io.switchback.proxy;

import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ReplicaWatch;
import io.switchback.fleet.Topology;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** A real primary with real replicas, each behind a wire on which a test can keep the stream back, and a proxy that reads from them. */
final class ReplicaFleet implements AutoCloseable {
    static final Duration LIMIT = Duration.ofSeconds(20);

    final RealServer primary;
    final List<RealServer> replicas = new ArrayList<>();
    private final List<HeldWire> wires = new ArrayList<>();

    ReplicaFleet(Path folder, int count) {
        primary = ProxyFixture.server(folder.resolve("primary"), "--repl-diskless-sync-delay", "0");
        for (int i = 0; i < count; i++) {
            HeldWire wire = new HeldWire(ProxyFixture.endpoint(primary), "PSYNC");
            wires.add(wire);
            replicas.add(ProxyFixture.server(
                    folder.resolve("replica-" + i),
                    "--replicaof",
                    "127.0.0.1",
                    Integer.toString(wire.endpoint().port())));
        }
        Await.until(
                LIMIT,
                "all replicas follow",
                () -> replicas.stream()
                        .allMatch(replica ->
                                "up".equals(replica.info("replication").get("master_link_status"))));
        awaitSame();
    }

    /** Waits until the replicas have applied all that the primary has written. */
    void awaitSame() {
        Await.until(LIMIT, "the replicas have everything", () -> {
            String offset = primary.info("replication", "master_repl_offset");
            return replicas.stream()
                    .allMatch(replica -> offset.equals(replica.info("replication", "slave_repl_offset")));
        });
    }

    BackendRoute route(String name, long epoch) {
        return ProxyFixture.route(name, primary, epoch);
    }

    HeldWire wire(int replica) {
        return wires.get(replica);
    }

    /** From now on the replicas hear nothing new. */
    void hold() {
        wires.forEach(HeldWire::hold);
    }

    void letGo() {
        wires.forEach(HeldWire::letGo);
    }

    /** So many commands of that name the server has run. */
    static long calls(RealServer server, String command) {
        return server.info("commandstats")
                .getOrDefault("cmdstat_" + command, "calls=0,")
                .transform(line -> Long.parseLong(line.substring("calls=".length(), line.indexOf(','))));
    }

    long callsOfReplicas(String command) {
        return replicas.stream().mapToLong(replica -> calls(replica, command)).sum();
    }

    /** Reads from the replicas from now on; returns once they are in use. */
    static ReplicaWatch watch(CacheProxy proxy, FleetSpec fleet, ReplicaSettings settings) {
        return watch(proxy, fleet, settings, () -> Topology.ofItself(fleet));
    }

    /** As {@link #watch(CacheProxy, FleetSpec, ReplicaSettings)}, of a fleet whose servers somebody else sees. */
    static ReplicaWatch watch(
            CacheProxy proxy, FleetSpec fleet, ReplicaSettings settings, Supplier<Optional<Topology>> topology) {
        AtomicReference<@Nullable ReplicaWatch> made = new AtomicReference<>();
        proxy.readFromReplicas(settings, name -> {
            ReplicaWatch watch = made.get();
            if (watch != null) {
                watch.lookSoon();
            }
        });
        ReplicaWatch watch = another(proxy, fleet, settings, topology);
        made.set(watch);
        return watch;
    }

    /** Of another fleet of the same cache. */
    static ReplicaWatch another(CacheProxy proxy, FleetSpec fleet, ReplicaSettings settings) {
        return another(proxy, fleet, settings, () -> Topology.ofItself(fleet));
    }

    private static ReplicaWatch another(
            CacheProxy proxy, FleetSpec fleet, ReplicaSettings settings, Supplier<Optional<Topology>> topology) {
        return ReplicaWatch.start(
                "sessions",
                fleet,
                settings.lagMax(),
                Environment.system(),
                () -> proxy.route().fleet().name().equals(fleet.name()),
                topology,
                seen -> proxy.replicas(fleet.name(), seen));
    }

    static void awaitInUse(CacheProxy proxy, int count) {
        Await.until(
                LIMIT,
                count + " replicas are in use",
                () -> proxy.replicaCounts().replicas().values().stream()
                                .filter(ReplicaCounts.One::isInUse)
                                .count()
                        == count);
    }

    Endpoint endpoint(int replica) {
        return ProxyFixture.endpoint(replicas.get(replica));
    }

    @Override
    public void close() {
        wires.forEach(HeldWire::close);
        replicas.forEach(replica -> {
            replica.resume();
            replica.close();
        });
        primary.close();
    }
}
