package io.switchback.cli.demo;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import io.switchback.cli.admin.AdminClient;
import io.switchback.fleet.Endpoint;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.SlowServer;
import io.switchback.testkit.load.CheckReport;
import io.switchback.testkit.load.HistoryChecker;
import io.switchback.testkit.load.Load;
import io.switchback.testkit.load.LoadHistory;
import io.switchback.testkit.load.LoadSettings;
import io.switchback.testkit.load.LoadSnapshot;
import io.switchback.testkit.load.LoadWindow;
import io.switchback.testkit.load.TimeWindow;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import redis.clients.jedis.Jedis;

/**
 * The main job on real servers, in three acts, with real clients that never stop: there and back by hand; there, the new fleet
 * turns slow, and back by itself; there, and finish. In the end every acknowledged write is looked up.
 */
final class Demo {
    /** How long the sick host of the second act stands still each time. */
    private static final Duration SLOW = Duration.ofMillis(30);

    private static final String RELEASE = "demo";
    private static final int CLIENTS = 8;
    private static final int OPERATIONS_PER_SECOND = 4_000;
    private static final int KEYS = 10_000;
    private static final int VALUE_BYTES = 64;
    private static final Duration STEP_LIMIT = Duration.ofSeconds(45);
    /** How long the audience may look at a fleet that works. */
    private static final Duration LOOK = Duration.ofSeconds(4);
    /** How far around a switch a client's wait still belongs to it. */
    private static final Duration MARGIN = Duration.ofMillis(200);

    private static final long TURN_MS = 100;

    private final Path folder;
    private final DemoServers servers;
    private final Screen screen;
    private final List<SwitchSeen> switches = new ArrayList<>();

    /** A switch as the clients saw it, with a little time around it. */
    record SwitchSeen(String act, String to, double heldMillis, double longestPauseMillis, long errors) {}

    /** What the demo found out. */
    record Outcome(
            DemoServers servers,
            LoadSnapshot total,
            List<SwitchSeen> switches,
            double longestPauseElsewhereMillis,
            CheckReport check,
            JsonNode release) {
        /** Whether nothing was lost and nobody noticed more than a pause. */
        boolean clean() {
            return check.clean() && total.errors() == 0 && total.reconnects() == 0;
        }
    }

    Demo(Path folder, DemoServers servers, Screen screen) {
        this.folder = folder;
        this.servers = servers;
        this.screen = screen;
    }

    /** Plays all three acts; {@code afterwards} is run while everything is still there. */
    Outcome play(Runnable afterwards) throws IOException, InterruptedException {
        byte[] secret = new byte[16];
        new java.security.SecureRandom().nextBytes(secret);
        String token = HexFormat.of().formatHex(secret);
        try (RealServer blue = RealServer.start(servers.old(), folder.resolve("blue"));
                RealServer green = RealServer.start(servers.fresh(), folder.resolve("green"));
                NodeChild node = NodeChild.start(nodeFile(blue, green, token), folder.resolve("node.log"))) {
            AdminClient admin = new AdminClient(new Endpoint("127.0.0.1", node.adminPort()), token);
            screen.say("blue is " + blue + ", green is " + green + " (" + servers.why() + ")");
            screen.say("the node listens on 127.0.0.1:" + node.port() + "; " + CLIENTS + " clients write and read "
                    + OPERATIONS_PER_SECOND + " times a second, and remember what they were told");
            LoadSettings settings = LoadSettings.on("127.0.0.1", node.port())
                    .withClients(CLIENTS)
                    .withOperationsPerSecond(OPERATIONS_PER_SECOND)
                    .withKeys(KEYS)
                    .withValueBytes(VALUE_BYTES)
                    .withPreload(true);
            try (Load load = Load.start(settings)) {
                Outcome outcome = acts(admin, load, green, node.port());
                afterwards.run();
                return outcome;
            }
        }
    }

    private Outcome acts(AdminClient admin, Load load, RealServer green, int port)
            throws IOException, InterruptedException {
        LoadSnapshot beginning = load.snapshot();
        screen.title("Act 1: forward, and back by hand");
        forward(admin, load, "1", () -> admin.post("/v1/releases", AdminClient.bytes(releaseFile())));
        watch(admin, load, LOOK);
        screen.say("somebody says: rollback");
        back(admin, load, "1", () -> order(admin, "rollback"));

        screen.title("Act 2: forward again, the new fleet turns slow, a gate fails, back by itself");
        forward(admin, load, "2", () -> order(admin, "resume"));
        screen.say("green is made slow now: its process is stopped for most of the time");
        try (SlowServer _ = new SlowServer(green, SLOW)) {
            back(admin, load, "2", () -> {});
        }
        screen.say(status(admin).path("detail").asText());

        screen.title("Act 3: forward once more, and finish");
        forward(admin, load, "3", () -> order(admin, "resume"));
        watch(admin, load, LOOK);
        screen.say("somebody says: finish");
        order(admin, "finish");
        await(
                admin,
                load,
                "FINISHED",
                release -> release.path("status").asText().equals("FINISHED"));
        watch(admin, load, Duration.ofSeconds(1));
        JsonNode release = status(admin);

        screen.title("Every acknowledged write is looked up");
        LoadHistory history = load.stop();
        List<TimeWindow> windows = List.copyOf(switchWindows);
        CheckReport check;
        try (Jedis client = new Jedis("127.0.0.1", port, 10_000)) {
            check = HistoryChecker.check(history, client);
        }
        return new Outcome(
                servers,
                history.total().since(beginning),
                List.copyOf(switches),
                history.longestPauseOutside(windows).toNanos() / 1e6,
                check,
                release);
    }

    private final List<TimeWindow> switchWindows = new ArrayList<>();

    private void forward(AdminClient admin, Load load, String act, Runnable order) throws InterruptedException {
        order.run();
        await(
                admin,
                load,
                "cutover",
                release -> release.path("step").asText().equals("CUTOVER")
                        || release.path("side").asText().equals("NEW"));
        seen(
                admin,
                load,
                act,
                "green",
                release -> release.path("side").asText().equals("NEW")
                        && release.path("caches")
                                .path(0)
                                .path("wayBack")
                                .asText()
                                .equals("OPEN"));
    }

    private void back(AdminClient admin, Load load, String act, Runnable order) throws InterruptedException {
        seen(admin, load, act, "blue", release -> {
            if (!ordered) {
                ordered = true;
                order.run();
            }
            return release.path("status").asText().equals("ROLLED_BACK");
        });
        ordered = false;
    }

    private boolean ordered;

    /** Waits for a switch, and notes what the clients saw from its beginning to its end. */
    private void seen(AdminClient admin, Load load, String act, String to, Predicate<JsonNode> reached)
            throws InterruptedException {
        int before = status(admin).path("switches").size();
        boolean already = status(admin).path("side").asText().equals("NEW") && to.equals("green");
        long from = System.nanoTime() - (already ? TimeUnit.SECONDS.toNanos(1) : 0);
        await(admin, load, "the switch to " + to, reached);
        TimeWindow window = new TimeWindow(from, System.nanoTime()).widened(MARGIN);
        TimeUnit.NANOSECONDS.sleep(MARGIN.toNanos());
        LoadWindow clients = load.window(window);
        switchWindows.add(window);
        JsonNode tried = status(admin).path("switches");
        JsonNode last = tried.path(tried.size() - 1);
        switches.add(new SwitchSeen(
                act,
                to,
                last.path("heldMillis").asDouble(),
                clients.longestPause().toNanos() / 1e6,
                clients.errors()));
        screen.say(String.format(
                java.util.Locale.ROOT,
                "switched to %s: clients were held for %.1f ms; %d attempt(s); errors %d",
                to,
                last.path("heldMillis").asDouble(),
                Math.max(1, tried.size() - before),
                clients.errors()));
    }

    private void watch(AdminClient admin, Load load, Duration time) throws InterruptedException {
        long until = System.nanoTime() + time.toNanos();
        await(admin, load, "a look around", release -> System.nanoTime() >= until);
    }

    private void await(AdminClient admin, Load load, String what, Predicate<JsonNode> reached)
            throws InterruptedException {
        long giveUpAt = System.nanoTime() + STEP_LIMIT.toNanos();
        LoadSnapshot secondAgo = load.snapshot();
        while (true) {
            JsonNode release = status(admin);
            boolean there = reached.test(release);
            LoadSnapshot now = load.snapshot();
            screen.show(release, secondAgo, now);
            if (there) {
                return;
            }
            String status = release.path("status").asText();
            if (status.equals("FAILED") || System.nanoTime() > giveUpAt) {
                throw new IllegalStateException(
                        "the release did not reach: " + what + "; it stands at " + release.toPrettyString());
            }
            if (now.atNanos() - secondAgo.atNanos() > TimeUnit.SECONDS.toNanos(1)) {
                secondAgo = now;
            }
            Thread.sleep(TURN_MS);
        }
    }

    private static JsonNode status(AdminClient admin) {
        try {
            return admin.read("/v1/releases/" + RELEASE);
        } catch (AdminClient.Refused e) {
            if (e.status() == 404) {
                return com.fasterxml.jackson.databind.node.JsonNodeFactory.instance.objectNode();
            }
            throw e;
        }
    }

    private static void order(AdminClient admin, String order) {
        admin.post("/v1/releases/" + RELEASE + "/" + order, new byte[0]);
    }

    private Path nodeFile(RealServer blue, RealServer green, String token) throws IOException {
        Files.writeString(folder.resolve("admin.token"), token, UTF_8);
        return Files.writeString(
                folder.resolve("node.yaml"), """
                node: demo-1
                admin: { listen: "127.0.0.1:%d", token: file:admin.token }
                ledger: embedded:./data
                caches:
                  demo:
                    listen: "127.0.0.1:0"
                    active: blue
                    fleets:
                      blue: { standalone: "127.0.0.1:%d" }
                      green: { standalone: "127.0.0.1:%d" }
                """.formatted(freePort(), blue.port(), green.port()), UTF_8);
    }

    /** A fixed one, so that the commands find the node through its file while the demo is held open. */
    private static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }

    /** The gates are wide, because the audience's machine may be busy with other things; the slow fleet is far beyond them. */
    private static String releaseFile() {
        return """
                release: demo
                moves:
                  - { cache: demo, to: green }
                hold: { limit: 500ms }
                gates:
                  art: { max-ratio: 4 }
                  p99: { max-ratio: 10 }
                  errors: { max-rate: 0.1% }
                  lag: { max: 2s }
                  samples-min: 500
                observe: 10m
                on-breach: rollback
                """;
    }
}
