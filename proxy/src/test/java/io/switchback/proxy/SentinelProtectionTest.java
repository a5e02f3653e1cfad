package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Environment;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.FleetWatch;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealSentinels;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Replies to writes under sentinels wait for a follower of whoever is the primary (see {@link ProtectionTest}). */
final class SentinelProtectionTest {
    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final String LINK = "switchback-0123456789abcdef0123456789abcdef";
    /** Long enough for a reply that is not kept. */
    private static final int UNKEPT_MS = 300;

    @TempDir
    private Path folder;

    /** The former one still has its follower, which has all that it was sent. */
    @Test
    void theFollowerOfAFormerPrimaryConfirmsNothingOfTheNextOne() {
        try (RealSentinels servers = RealSentinels.start(ProxyFixture.binary(), folder.resolve("fleet"), 1)) {
            FleetSpec fleet = ProxyFixture.fleet("watched", servers);
            BackendRoute route = new BackendRoute(fleet, 1);
            ProxyLimits patient =
                    new Limits().failoverWait(Duration.ofSeconds(30)).build();
            try (RealServer _ = follower(servers.primary(), "first");
                    CacheProxy proxy = ProxyFixture.proxy(route, patient, 1);
                    FleetWatch who = FleetWatch.start(
                            "sessions", fleet, Environment.system(), seen -> proxy.topology(fleet.name(), seen))) {
                proxy.watchedBy(fleet.name(), who::lookSoon);
                Await.until(LIMIT, "the primary is known", () -> who.seen().isPresent());
                proxy.topology(fleet.name(), who.seen().orElseThrow());
                proxy.protect(route, new Protection(LINK, OnStall.HOLD, Duration.ofSeconds(60)))
                        .join();
                try (RawClient writer = ProxyFixture.client(proxy);
                        RawClient reader = ProxyFixture.client(proxy)) {
                    assertThat(writer.text("SET", "key", "1")).isEqualTo("OK");
                    RealServer next = servers.failover();
                    Await.until(
                            LIMIT,
                            "the next primary to be used",
                            () -> reader.text("INFO", "server").contains("tcp_port:" + next.port()));
                    writer.send("SET", "key", "2");
                    Await.until(
                            LIMIT,
                            "the write to be done",
                            () -> reader.text("GET", "key").equals("2"));
                    assertThat(writer.hasReplyWithin(UNKEPT_MS)).isFalse();
                    try (RealServer second = follower(next, "second")) {
                        assertThat(writer.reply().text()).isEqualTo("OK");
                        assertThat(second.text("GET", "key")).isEqualTo("2");
                    }
                }
            }
        }
    }

    private RealServer follower(RealServer primary, String name) {
        RealServer started = ProxyFixture.server(
                folder.resolve(name),
                "--replicaof",
                primary.host() + " " + primary.port(),
                "--replica-announce-ip",
                LINK,
                "--replica-priority",
                "0");
        Await.until(
                LIMIT,
                "following",
                () -> started.info("replication", "master_link_status").equals("up"));
        return started;
    }
}
