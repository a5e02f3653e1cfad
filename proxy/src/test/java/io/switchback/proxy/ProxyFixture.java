package io.switchback.proxy;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetSpec;
import io.switchback.testkit.RealSentinels;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/** What the tests of this module share: servers to stand behind a proxy, and a proxy in front. */
final class ProxyFixture {
    static final int LOOPS = 2;

    private ProxyFixture() {}

    static ServerBinary binary() {
        return ServerBinary.named("redis-7.0").orElseGet(ServerBinary::any);
    }

    static RealServer server(Path folder, String... arguments) {
        return RealServer.start(binary(), folder, arguments);
    }

    static Endpoint endpoint(RealServer server) {
        return new Endpoint(server.host(), server.port());
    }

    static BackendRoute route(String fleet, RealServer server, long epoch) {
        return new BackendRoute(new FleetSpec(fleet, endpoint(server), Optional.empty()), epoch);
    }

    static CacheProxy proxy(BackendRoute route) {
        return proxy(route, ProxyLimits.DEFAULT, LOOPS);
    }

    static CacheProxy proxy(BackendRoute route, ProxyLimits limits, int loops) {
        return proxy(route, limits, loops, false);
    }

    static CacheProxy proxy(BackendRoute route, ProxyLimits limits, int loops, boolean startHeld) {
        try {
            return CacheProxy.open(
                    new ProxySettings("sessions", "n1", List.of(new Endpoint("127.0.0.1", 0)), loops, limits),
                    route,
                    startHeld);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static RawClient client(CacheProxy proxy) {
        return new RawClient(proxy.addresses().getFirst());
    }

    static HoldOutcome hold(CacheProxy proxy, long limitMs) {
        return proxy.hold(Duration.ofMillis(limitMs)).join();
    }

    /** The fleet of a primary under sentinels, which are asked without a password. */
    static FleetSpec fleet(String name, RealSentinels servers) {
        List<Endpoint> sentinels = servers.endpoints().stream()
                .map(one -> new Endpoint(one.getHost(), one.getPort()))
                .toList();
        return new FleetSpec(
                name, new FleetAddress.Sentinel(sentinels, servers.primaryName(), Optional.empty()), Optional.empty());
    }
}
