package io.switchback.server;

import io.switchback.config.ConfigException;
import io.switchback.config.HostPort;
import io.switchback.config.Secret;
import io.switchback.config.YamlFile;
import io.switchback.config.YamlMap;
import io.switchback.fleet.Credential;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetSpec;
import io.switchback.proxy.MemorySettings;
import io.switchback.proxy.ProxyLimits;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * A node as a person writes it (node.yaml).
 *
 * @param file where it was read from
 * @param node the node's name
 * @param admin the admin API, where the file has one
 * @param ledger which one
 * @param dataFolder where this node keeps what is its own: the embedded ledger, its participants' log, backups; relative ones are relative
 *     to the file's folder
 * @param onLedgerLoss what it does while it cannot be sure that the ledger counts it
 * @param peers where the other nodes reach this one; empty for any free port at the address that leads to the ledger
 * @param caches at least one
 */
public record NodeFile(
        Path file,
        String node,
        Optional<AdminSettings> admin,
        LedgerAddress ledger,
        Path dataFolder,
        OnLedgerLoss onLedgerLoss,
        Optional<Endpoint> peers,
        List<CacheSettings> caches) {
    private static final String EMBEDDED = "embedded:";
    private static final String ZOOKEEPER = "zookeeper://";
    private static final String HOST_AND_PORT = "[^,/:\\s]+:[0-9]{1,5}";
    private static final Pattern ZOOKEEPER_CONNECT =
            Pattern.compile(HOST_AND_PORT + "(," + HOST_AND_PORT + ")*/[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*");
    private static final String LEDGER_FORMS = EMBEDDED + "FOLDER such as " + EMBEDDED + "./data, or " + ZOOKEEPER
            + "HOST:PORT,HOST:PORT/PATH such as " + ZOOKEEPER + "zk1:2181,zk2:2181,zk3:2181/switchback";
    private static final String DATA_FOLDER = "./data";

    /** Which ledger a node uses. */
    public sealed interface LedgerAddress {
        /** One of its own, in its data folder. */
        record Embedded() implements LedgerAddress {}

        /** A ZooKeeper ensemble that all nodes share, as {@code host:port,host:port/root}. */
        record ZooKeeper(String connect) implements LedgerAddress {}
    }

    /** What a node does that loses a shared ledger. */
    public enum OnLedgerLoss {
        /** Serves its clients where they are. */
        SERVE,
        /** Holds its clients until the ledger has told it where they belong. */
        HOLD
    }

    private static final int EVENT_LOOPS_MAX = 256;
    private static final int CLIENTS_MAX_MAX = 1_000_000;
    private static final long MEMORY_MIB_MAX = 1024 * 1024;
    private static final Duration MEMORY_AGE_MIN = Duration.ofMillis(1);
    private static final Duration MEMORY_AGE_MAX = Duration.ofHours(1);

    /** Where the admin API listens, on this machine only, and the token that it asks for. */
    public record AdminSettings(HostPort listen, Secret token) {}

    /**
     * One cache.
     *
     * @param listen where clients connect; port 0 is any free one
     * @param active the fleet in use before the first release; from then on the ledger knows
     * @param fleets by name, in the order of the file
     * @param eventLoops threads that carry its traffic; 0 for one to two processors
     * @param clientsMax connections of clients; one more is told so and closed
     * @param memory whether reads may be answered from memory
     */
    public record CacheSettings(
            String name,
            List<Endpoint> listen,
            String active,
            Map<String, FleetSpec> fleets,
            int eventLoops,
            int clientsMax,
            Optional<MemorySettings> memory) {}

    public NodeFile {
        caches = List.copyOf(caches);
    }

    /**
     * Reads a file.
     *
     * @throws ConfigException with everything that is wrong with it at once
     */
    public static NodeFile read(Path path) {
        return read(path, YamlFile.read(path));
    }

    /** As {@link #read(Path)}, where the secrets that it names need not be there; they are empty. */
    public static NodeFile readWithoutSecrets(Path path) {
        return read(path, YamlFile.readWithoutSecrets(path));
    }

    private static NodeFile read(Path path, YamlFile file) {
        YamlMap root = file.root();
        Addresses addresses = new Addresses();
        root.unsupported("services");
        NodeFile node = new NodeFile(
                path,
                root.name("node"),
                root.has("admin") ? Optional.of(admin(root.map("admin"), addresses)) : Optional.empty(),
                ledger(root),
                dataFolder(root, file),
                onLedgerLoss(root),
                peers(root, addresses),
                caches(root, addresses));
        addresses.check();
        file.finish();
        return node;
    }

    private static AdminSettings admin(YamlMap map, Addresses addresses) {
        HostPort listen = map.bindAddress("listen");
        if (!isPlaceholder(listen) && !ownMachine(listen.host())) {
            // Token and answers travel in the clear.
            map.problem(
                    "listen",
                    "expected an address of this machine only, such as 127.0.0.1:7070, found \"" + listen + "\"");
        }
        map.unsupported("tls");
        addresses.listening(map, new Endpoint(listen.host(), listen.port()));
        return new AdminSettings(listen, map.secret("token"));
    }

    private static boolean isPlaceholder(HostPort address) {
        return address.equals(YamlMap.HOST_PORT_PLACEHOLDER);
    }

    private static boolean ownMachine(String host) {
        return host.startsWith("127.") || host.equals("::1") || host.equals("localhost");
    }

    private static LedgerAddress ledger(YamlMap root) {
        String text = root.has("ledger") ? root.text("ledger") : "";
        if (!root.has("ledger")) {
            root.problem("ledger", "missing; expected " + LEDGER_FORMS);
        } else if (text.startsWith(ZOOKEEPER)) {
            String connect = text.substring(ZOOKEEPER.length());
            if (!ZOOKEEPER_CONNECT.matcher(connect).matches()) {
                root.problem("ledger", "expected " + LEDGER_FORMS + ", found \"" + text + "\"");
            }
            return new LedgerAddress.ZooKeeper(connect);
        } else if (!text.isEmpty() && (!text.startsWith(EMBEDDED) || text.equals(EMBEDDED))) {
            root.problem("ledger", "expected " + LEDGER_FORMS + ", found \"" + text + "\"");
        }
        return new LedgerAddress.Embedded();
    }

    private static Path dataFolder(YamlMap root, YamlFile file) {
        String ledger = root.has("ledger") ? root.text("ledger") : "";
        if (!ledger.startsWith(EMBEDDED)) {
            return file.resolve(root.optionalText("data").orElse(DATA_FOLDER));
        }
        if (root.has("data")) {
            root.problem("data", "an embedded ledger names the node's folder already; expected no key \"data\"");
        }
        return file.resolve(ledger.substring(EMBEDDED.length()));
    }

    private static OnLedgerLoss onLedgerLoss(YamlMap root) {
        if (root.has("on-ledger-loss") && !isShared(root)) {
            root.problem(
                    "on-ledger-loss",
                    "a node with an embedded ledger has it with it; expected a ledger zookeeper://...");
        }
        return root.choice("on-ledger-loss", OnLedgerLoss.class, OnLedgerLoss.SERVE);
    }

    private static boolean isShared(YamlMap root) {
        return !root.has("ledger") || root.text("ledger").startsWith(ZOOKEEPER);
    }

    private static Optional<Endpoint> peers(YamlMap root, Addresses addresses) {
        if (!root.has("peers")) {
            return Optional.empty();
        }
        YamlMap peers = root.map("peers");
        HostPort listen = peers.bindAddress("listen");
        if (!isShared(root)) {
            root.problem("peers", "a node with an embedded ledger has no peers; expected a ledger zookeeper://...");
        }
        Endpoint endpoint = new Endpoint(listen.host(), listen.port());
        addresses.listening(peers, endpoint);
        return Optional.of(endpoint);
    }

    private static List<CacheSettings> caches(YamlMap root, Addresses addresses) {
        List<CacheSettings> caches = new ArrayList<>();
        root.namedMaps("caches").forEach((name, map) -> caches.add(cache(name, map, addresses)));
        return caches;
    }

    private static CacheSettings cache(String name, YamlMap map, Addresses addresses) {
        List<Endpoint> listen = map.bindAddresses("listen").stream()
                .map(address -> new Endpoint(address.host(), address.port()))
                .toList();
        listen.forEach(endpoint -> addresses.listening(map, endpoint));
        map.unsupported("tls");
        String active = map.name("active");
        Map<String, FleetSpec> fleets = new LinkedHashMap<>();
        map.namedMaps("fleets")
                .forEach((fleet, keys) ->
                        fleet(name, fleet, keys, addresses).ifPresent(spec -> fleets.put(fleet, spec)));
        List<String> names = map.map("fleets").keys();
        if (!active.isEmpty() && !names.isEmpty() && !names.contains(active)) {
            map.problem(
                    "active", "expected one of the fleets " + String.join(", ", names) + ", found \"" + active + "\"");
        }
        int eventLoops = Math.toIntExact(map.integer("event-loops", 0, 1, EVENT_LOOPS_MAX));
        int clientsMax =
                Math.toIntExact(map.integer("max-clients", ProxyLimits.DEFAULT.clientsMax(), 1, CLIENTS_MAX_MAX));
        return new CacheSettings(
                name, listen, active, fleets, eventLoops, clientsMax, map.optionalMap("memory").map(NodeFile::memory));
    }

    private static MemorySettings memory(YamlMap map) {
        if (!map.has("max-mib")) {
            map.problem("max-mib", "missing; expected how many MiB of answers may be kept, such as 64");
        }
        long mib = map.integer("max-mib", 1, 1, MEMORY_MIB_MAX);
        return new MemorySettings(
                mib * 1024 * 1024,
                map.duration("max-age", MemorySettings.AGE_MAX_DEFAULT, MEMORY_AGE_MIN, MEMORY_AGE_MAX));
    }

    private static Optional<FleetSpec> fleet(String cache, String name, YamlMap map, Addresses addresses) {
        map.unsupported("sentinel");
        map.unsupported("cluster");
        map.unsupported("tls");
        Optional<Credential> credential = credential(map);
        if (map.has("sentinel") || map.has("cluster")) {
            if (map.has("standalone")) {
                map.problem("standalone", "expected one kind of fleet: standalone, sentinel or cluster");
            }
            return Optional.empty();
        }
        HostPort address = map.hostPort("standalone");
        if (isPlaceholder(address)) {
            return Optional.empty();
        }
        Endpoint endpoint = new Endpoint(address.host(), address.port());
        addresses.serving(map, "fleet " + name + " of cache " + cache, endpoint);
        return Optional.of(new FleetSpec(name, endpoint, credential));
    }

    private static Optional<Credential> credential(YamlMap map) {
        Optional<String> user = map.optionalText("user");
        Optional<Secret> password = map.optionalSecret("password");
        if (user.isPresent() && !map.has("password")) {
            map.problem("user", "has no password; expected the key \"password\" beside it");
        }
        return password.map(secret -> new Credential(user.orElse(Credential.DEFAULT_USER), secret.reveal()));
    }

    /** All addresses of a file, for the mistakes that show only between them. */
    private static final class Addresses {
        private record Listening(YamlMap map, Endpoint endpoint) {}

        private record Serving(YamlMap map, String who, Endpoint endpoint) {}

        private final List<Listening> listening = new ArrayList<>();
        private final List<Serving> serving = new ArrayList<>();

        void listening(YamlMap map, Endpoint endpoint) {
            if (endpoint.port() != 0) {
                listening.add(new Listening(map, endpoint));
            }
        }

        void serving(YamlMap map, String who, Endpoint endpoint) {
            serving.add(new Serving(map, who, endpoint));
        }

        void check() {
            for (int i = 0; i < listening.size(); i++) {
                for (Listening earlier : listening.subList(0, i)) {
                    Listening later = listening.get(i);
                    if (earlier.endpoint().equals(later.endpoint())) {
                        later.map()
                                .problem(
                                        "listen",
                                        "\"" + later.endpoint() + "\" is listened at twice, first in line "
                                                + earlier.map().line("listen"));
                    }
                }
            }
            for (int i = 0; i < serving.size(); i++) {
                Serving later = serving.get(i);
                for (Serving earlier : serving.subList(0, i)) {
                    if (earlier.endpoint().equals(later.endpoint())) {
                        // A switch makes the whole server read-only; another cache on it would be cut off.
                        later.map()
                                .problem(
                                        "standalone",
                                        "\"" + later.endpoint() + "\" is " + earlier.who()
                                                + " already; a server belongs to one fleet of one cache");
                    }
                }
                for (Listening own : listening) {
                    if (own.endpoint().equals(later.endpoint())) {
                        later.map()
                                .problem(
                                        "standalone",
                                        "\"" + later.endpoint()
                                                + "\" is where this node itself listens; expected the address of a server");
                    }
                }
            }
        }
    }
}
