package io.switchback.server;

import io.switchback.config.ConfigException;
import io.switchback.config.HostPort;
import io.switchback.config.Secret;
import io.switchback.config.YamlFile;
import io.switchback.config.YamlMap;
import io.switchback.fleet.Credential;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.FleetTls;
import io.switchback.proxy.ListenerTls;
import io.switchback.proxy.MemorySettings;
import io.switchback.proxy.ProxyLimits;
import io.switchback.proxy.ProxySettings;
import io.switchback.proxy.ReplicaSettings;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;

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

    private static final Pattern SOCKET_MODE = Pattern.compile("[0-7]{3}");
    /** Where one listens, and nobody can go. */
    private static final Set<String> ANY_ADDRESS = Set.of("0.0.0.0", "::", "[::]", "*");

    private static final int EVENT_LOOPS_MAX = 256;
    private static final int CLIENTS_MAX_MAX = 1_000_000;
    /** Sentinels, or nodes of a cluster, from which the others are learned. */
    private static final int ASKED_MAX = 100;

    private static final long MEMORY_MIB_MAX = 1024 * 1024;
    private static final Duration MEMORY_AGE_MIN = Duration.ofMillis(1);
    private static final Duration MEMORY_AGE_MAX = Duration.ofHours(1);

    /** Below it every replica would be left out by what it takes to ask for its offset. */
    private static final Duration REPLICA_LAG_MIN = Duration.ofMillis(50);

    private static final Duration REPLICA_LAG_MAX = Duration.ofMinutes(1);
    private static final Duration WITHOUT_PRIMARY_MAX = Duration.ofHours(1);

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
     * @param tls empty where no client speaks TLS
     * @param socketMode who may connect to a Unix socket
     * @param memory whether reads may be answered from memory
     * @param replicas whether reads may be answered by replicas
     * @param announce where cluster clients are told to find this node; empty for where they have come, and this node alone
     */
    public record CacheSettings(
            String name,
            List<Endpoint> listen,
            String active,
            Map<String, FleetSpec> fleets,
            int eventLoops,
            int clientsMax,
            Optional<ListenerTls> tls,
            Set<PosixFilePermission> socketMode,
            Optional<MemorySettings> memory,
            Optional<ReplicaSettings> replicas,
            Optional<Endpoint> announce) {
        /** In the clear, and by the primary alone. */
        public CacheSettings(
                String name,
                List<Endpoint> listen,
                String active,
                Map<String, FleetSpec> fleets,
                int eventLoops,
                int clientsMax) {
            this(
                    name,
                    listen,
                    active,
                    fleets,
                    eventLoops,
                    clientsMax,
                    Optional.empty(),
                    ProxySettings.SOCKET_MODE,
                    Optional.empty(),
                    Optional.empty(),
                    Optional.empty());
        }
    }

    public NodeFile {
        caches = List.copyOf(caches);
    }

    /**
     * Reads a file.
     *
     * @throws ConfigException with everything that is wrong with it at once
     */
    public static NodeFile read(Path path) {
        return read(path, YamlFile.read(path), true);
    }

    /** As {@link #read(Path)}, where the secrets and certificates that it names need not be there; the secrets are empty. */
    public static NodeFile readWithoutSecrets(Path path) {
        return read(path, YamlFile.readWithoutSecrets(path), false);
    }

    private static NodeFile read(Path path, YamlFile file, boolean readsCertificates) {
        YamlMap root = file.root();
        TlsKeys tls = new TlsKeys(readsCertificates);
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
                caches(root, addresses, tls));
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

    private static List<CacheSettings> caches(YamlMap root, Addresses addresses, TlsKeys tls) {
        List<CacheSettings> caches = new ArrayList<>();
        root.namedMaps("caches").forEach((name, map) -> caches.add(cache(name, map, addresses, tls)));
        return caches;
    }

    private static CacheSettings cache(String name, YamlMap map, Addresses addresses, TlsKeys tlsKeys) {
        List<Endpoint> listen = listen(map, addresses);
        Optional<ListenerTls> tls = map.optionalMap("tls")
                .flatMap(keys -> tlsKeys.ofListeners(keys, keys.has("listen") ? listen(keys, addresses) : List.of()));
        Set<PosixFilePermission> socketMode = socketMode(map);
        String active = map.name("active");
        Map<String, FleetSpec> fleets = new LinkedHashMap<>();
        map.namedMaps("fleets")
                .forEach((fleet, keys) ->
                        fleet(name, fleet, keys, addresses, tlsKeys).ifPresent(spec -> fleets.put(fleet, spec)));
        List<String> names = map.map("fleets").keys();
        if (!active.isEmpty() && !names.isEmpty() && !names.contains(active)) {
            map.problem(
                    "active", "expected one of the fleets " + String.join(", ", names) + ", found \"" + active + "\"");
        }
        int eventLoops = Math.toIntExact(map.integer("event-loops", 0, 1, EVENT_LOOPS_MAX));
        int clientsMax =
                Math.toIntExact(map.integer("max-clients", ProxyLimits.DEFAULT.clientsMax(), 1, CLIENTS_MAX_MAX));
        Optional<MemorySettings> memory = map.optionalMap("memory").map(NodeFile::memory);
        Optional<ReplicaSettings> replicas = map.optionalMap("replicas").map(NodeFile::replicas);
        return new CacheSettings(
                name, listen, active, fleets, eventLoops, clientsMax, tls, socketMode, memory, replicas, announce(map));
    }

    private static Optional<Endpoint> announce(YamlMap map) {
        if (!map.has("announce")) {
            return Optional.empty();
        }
        HostPort address = map.hostPort("announce");
        if (ANY_ADDRESS.contains(address.host())) {
            map.problem(
                    "announce",
                    "expected an address that clients can connect to, such as 10.0.0.7:6379, found \"" + address
                            + "\"");
        }
        return Optional.of(new Endpoint(address.host(), address.port()));
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

    private static ReplicaSettings replicas(YamlMap map) {
        if (!map.flag("reads", true)) {
            map.problem("reads", "expected true; leave out the key \"replicas\" where only primaries are read from");
        }
        Duration lagMax = map.duration("max-lag", ReplicaSettings.LAG_MAX_DEFAULT, REPLICA_LAG_MIN, REPLICA_LAG_MAX);
        Duration withoutPrimary = map.duration("without-primary", Duration.ZERO, Duration.ZERO, WITHOUT_PRIMARY_MAX);
        double ejectedMax = map.percent("max-ejected").orElse(ReplicaSettings.EJECTED_MAX_DEFAULT);
        Optional<String> zone = map.optionalText("zone");
        Map<Endpoint, String> zones = new LinkedHashMap<>();
        map.optionalMap("zones").ifPresent(each -> {
            for (String name : each.keys()) {
                each.hostPorts(name).forEach(address -> {
                    if (zones.put(new Endpoint(address.host(), address.port()), name) != null) {
                        each.problem(name, "\"" + address + "\" is in two zones");
                    }
                });
            }
        });
        if (zone.isPresent() != map.has("zones")) {
            map.problem(
                    zone.isPresent() ? "zone" : "zones",
                    "expected both \"zone\", where this node is, and \"zones\", where replicas are");
        }
        return new ReplicaSettings(lagMax, withoutPrimary, ejectedMax, zone, zones);
    }

    private static List<Endpoint> listen(YamlMap map, Addresses addresses) {
        List<Endpoint> listen = map.bindAddressesOrSockets("listen").stream()
                .map(address -> new Endpoint(address.host(), address.port()))
                .toList();
        listen.forEach(endpoint -> addresses.listening(map, endpoint));
        return listen;
    }

    private static Set<PosixFilePermission> socketMode(YamlMap map) {
        Optional<String> mode = map.optionalText("socket-mode");
        if (mode.isEmpty()) {
            return ProxySettings.SOCKET_MODE;
        }
        if (!SOCKET_MODE.matcher(mode.get()).matches()) {
            map.problem(
                    "socket-mode",
                    "expected three octal digits such as 770, where 7 or 6 lets connect, found \"" + mode.get() + "\"");
            return ProxySettings.SOCKET_MODE;
        }
        int bits = Integer.parseInt(mode.get(), 8);
        // Their order is that of the bits, the highest first.
        PosixFilePermission[] permissions = PosixFilePermission.values();
        Set<PosixFilePermission> set = EnumSet.noneOf(PosixFilePermission.class);
        for (int i = 0; i < permissions.length; i++) {
            if ((bits >> (permissions.length - 1 - i) & 1) == 1) {
                set.add(permissions[i]);
            }
        }
        return set;
    }

    private static Optional<FleetSpec> fleet(
            String cache, String name, YamlMap map, Addresses addresses, TlsKeys tlsKeys) {
        Optional<FleetTls> tls = map.optionalMap("tls").flatMap(tlsKeys::ofFleet);
        Optional<Credential> credential = credential(map);
        List<String> kinds =
                Stream.of("standalone", "sentinel", "cluster").filter(map::has).toList();
        if (kinds.size() > 1) {
            map.problem(kinds.getLast(), "expected one kind of fleet: standalone, sentinel or cluster");
            return Optional.empty();
        }
        String who = "fleet " + name + " of cache " + cache;
        Optional<FleetAddress> address = switch (kinds.isEmpty() ? "" : kinds.getFirst()) {
            case "sentinel" -> sentinel(who, map.map("sentinel"), addresses);
            case "cluster" -> cluster(who, map, addresses);
            default -> standalone(who, map, addresses);
        };
        return address.map(found -> new FleetSpec(name, found, credential, tls));
    }

    private static Optional<FleetAddress> standalone(String who, YamlMap map, Addresses addresses) {
        HostPort address = map.hostPortOrSocket("standalone");
        if (isPlaceholder(address)) {
            return Optional.empty();
        }
        Endpoint endpoint = new Endpoint(address.host(), address.port());
        addresses.serving(map, "standalone", who, endpoint, "");
        if (endpoint.isUnix() && map.has("tls")) {
            map.problem(
                    "tls", "servers do not speak TLS over a Unix socket; expected no key \"tls\" beside " + endpoint);
        }
        return Optional.of(new FleetAddress.Standalone(endpoint));
    }

    /** The user and password in it are the sentinels' own. */
    private static Optional<FleetAddress> sentinel(String who, YamlMap map, Addresses addresses) {
        String primary = map.text("primary");
        List<Endpoint> sentinels = endpoints(map, "sentinels");
        Optional<Credential> credential = credential(map);
        sentinels.forEach(sentinel -> addresses.serving(map, "sentinels", who, sentinel, primary));
        return sentinels.isEmpty() || primary.isEmpty()
                ? Optional.empty()
                : Optional.of(new FleetAddress.Sentinel(sentinels, primary, credential));
    }

    private static Optional<FleetAddress> cluster(String who, YamlMap map, Addresses addresses) {
        List<Endpoint> seeds = endpoints(map, "cluster");
        seeds.forEach(seed -> addresses.serving(map, "cluster", who, seed, ""));
        return seeds.isEmpty() ? Optional.empty() : Optional.of(new FleetAddress.Cluster(seeds));
    }

    private static List<Endpoint> endpoints(YamlMap map, String key) {
        List<Endpoint> endpoints = map.hostPorts(key).stream()
                .map(address -> new Endpoint(address.host(), address.port()))
                .toList();
        if (endpoints.size() > ASKED_MAX) {
            map.problem(key, "expected at most " + ASKED_MAX + " of them, found " + endpoints.size());
        }
        return endpoints;
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

        /** {@code name}: by which a sentinel knows the primary; empty for a server. */
        private record Serving(YamlMap map, String key, String who, Endpoint endpoint, String name) {
            boolean isSameAs(Serving other) {
                return endpoint.equals(other.endpoint) && name.equals(other.name);
            }
        }

        private final List<Listening> listening = new ArrayList<>();
        private final List<Serving> serving = new ArrayList<>();

        void listening(YamlMap map, Endpoint endpoint) {
            if (endpoint.port() != 0 || endpoint.isUnix()) {
                listening.add(new Listening(map, endpoint));
            }
        }

        void serving(YamlMap map, String key, String who, Endpoint endpoint, String name) {
            serving.add(new Serving(map, key, who, endpoint, name));
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
                    if (earlier.isSameAs(later)) {
                        // A switch makes the whole server read-only; another cache on it would be cut off.
                        later.map()
                                .problem(
                                        later.key(),
                                        earlier.map() == later.map()
                                                ? "\"" + later.endpoint() + "\" is named twice"
                                                : "\"" + later.endpoint() + "\" is " + earlier.who()
                                                        + " already; a server belongs to one fleet of one cache");
                    }
                }
                for (Listening own : listening) {
                    if (own.endpoint().equals(later.endpoint())) {
                        later.map()
                                .problem(
                                        later.key(),
                                        "\"" + later.endpoint()
                                                + "\" is where this node itself listens; expected the address of a server");
                    }
                }
            }
        }
    }
}
