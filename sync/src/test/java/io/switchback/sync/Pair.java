package io.switchback.sync;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.Credential;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ReplicationState;
import io.switchback.fleet.ReservedKeys;
import io.switchback.fleet.RoleChange;
import io.switchback.fleet.RoleCommands;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.Token;
import io.switchback.fleet.dialect.Dialect;
import io.switchback.fleet.dialect.StreamTranslator;
import io.switchback.resp.Reply;
import io.switchback.sync.source.CopyLimits;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.SwitchbackUser;
import java.net.InetAddress;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.CopyOnWriteArrayList;

/** Two real servers and the links between them, switched as a release does it; closes all that it opened. */
final class Pair implements AutoCloseable {
    static final Duration LIMIT = Duration.ofSeconds(30);
    /** An option: the servers can make their settings and roles last. */
    static final String WITH_CONFIG_FILES = "(with config files)";

    static final String SECRET = "face-secret";
    static final Environment ENVIRONMENT = Environment.system();

    final Side a;
    final Side b;
    final List<RelayLink> links;
    int attempt;

    /** One server: seen as a fleet by links, with the rights that they need and no others; and over a connection for administration. */
    static final class Side implements AutoCloseable {
        private static final Credential OF_LINKS = new Credential(SwitchbackUser.RELAY.name(), SwitchbackUser.PASSWORD);

        final RealServer server;
        final FleetSpec fleet;
        ServerConnection connection;
        private final Optional<Credential> operator;

        Side(RealServer server, Optional<Credential> operator) {
            this.server = server;
            this.fleet = new FleetSpec(
                    server.binary().name(), new Endpoint(server.host(), server.port()), Optional.of(OF_LINKS));
            this.operator = operator;
            this.connection = connect();
        }

        /** As an operator, who may do anything. */
        ServerConnection connect() {
            return ServerConnection.open(new Endpoint(server.host(), server.port()), operator, LIMIT);
        }

        /** The same server, reached by another address; what this one closes is closed. */
        Side behind(Endpoint address) {
            return new Side(server, new FleetSpec(fleet.name(), address, fleet.credential()), operator, connection);
        }

        private Side(RealServer server, FleetSpec fleet, Optional<Credential> operator, ServerConnection connection) {
            this.server = server;
            this.fleet = fleet;
            this.operator = operator;
            this.connection = connection;
        }

        String call(String... arguments) {
            return connection.call(arguments).text();
        }

        ReplicationState state() {
            return ReplicationState.read(connection);
        }

        /** All keys of the selected database but the reserved ones, with type, value and time of expiry (0: none). */
        Map<String, String> keys() {
            Map<String, String> found = new TreeMap<>();
            for (Reply key : ((Reply.Array) connection.demand("KEYS", "*")).elements()) {
                byte[] name = ((Reply.Bulk) key).bytes();
                if (!ReservedKeys.isReserved(name)) {
                    found.put(key.text(), value(key.text()));
                }
            }
            return found;
        }

        private String value(String key) {
            String type = call("TYPE", key);
            String value = switch (type) {
                case "string" -> call("GET", key);
                case "list" -> call("LRANGE", key, "0", "-1");
                case "set" -> sorted("SMEMBERS", key);
                case "zset" -> call("ZRANGE", key, "0", "-1", "WITHSCORES");
                case "hash" -> hash(key);
                case "stream" -> call("XRANGE", key, "-", "+") + call("XPENDING", key, "group");
                default -> type;
            };
            return type + " " + value;
        }

        private String sorted(String... command) {
            return ((Reply.Array) connection.demand(command))
                    .elements().stream().map(Reply::text).sorted().toList().toString();
        }

        private String hash(String key) {
            TreeMap<String, String> fields = new TreeMap<>();
            List<Reply> flat = ((Reply.Array) connection.demand("HGETALL", key)).elements();
            for (int i = 0; i < flat.size(); i += 2) {
                fields.put(flat.get(i).text(), flat.get(i + 1).text());
            }
            return fields.toString();
        }

        long fullSyncs() {
            return Long.parseLong(server.info("stats", "sync_full"));
        }

        void reconnect() {
            connection.close();
            connection = connect();
        }

        @Override
        public void close() {
            connection.close();
            server.close();
        }
    }

    /** Remembers all that a link says. */
    static final class Heard implements LinkListener {
        final List<LinkBase> bases = new CopyOnWriteArrayList<>();
        final List<String> ids = new CopyOnWriteArrayList<>();
        final List<BackupManifest> backups = new CopyOnWriteArrayList<>();
        final List<String> breaks = new CopyOnWriteArrayList<>();

        void awaitBroken() {
            Await.until(LIMIT, "the link says that it is broken", () -> !breaks.isEmpty());
        }

        @Override
        public void based(LinkBase base) {
            bases.add(base);
        }

        @Override
        public void sourceIdChanged(String id) {
            ids.add(id);
        }

        @Override
        public void copied(BackupManifest manifest) {
            backups.add(manifest);
        }

        @Override
        public void broken(LinkBreak kind, String why) {
            breaks.add(why);
        }
    }

    private Pair(Side a, Side b, List<RelayLink> links) {
        this.a = a;
        this.b = b;
        this.links = links;
    }

    /** The same servers and links, seen from the other side. */
    Pair swapped() {
        return new Pair(b, a, links);
    }

    Pair(ServerBinary a, ServerBinary b, Path folder, String... options) {
        this.links = new ArrayList<>();
        int password = List.of(options).indexOf("--requirepass");
        Optional<Credential> credential = password < 0
                ? Optional.empty()
                : Optional.of(new Credential(Credential.DEFAULT_USER, options[password + 1]));
        List<String> all = new ArrayList<>(List.of(options));
        // Only so that tests do not wait: without it a source gathers replicas for five seconds.
        all.addAll(List.of("--repl-diskless-sync-delay", "0"));
        boolean files = all.remove(WITH_CONFIG_FILES);
        this.a = new Side(start(a, folder.resolve("a"), files, all.toArray(String[]::new)), credential);
        this.b = new Side(start(b, folder.resolve("b"), files, all.toArray(String[]::new)), credential);
        for (Side side : List.of(this.a, this.b)) {
            side.call("CONFIG", "SET", "masterauth", SECRET);
        }
    }

    private static RealServer start(ServerBinary binary, Path folder, boolean configFile, String... options) {
        return configFile
                ? RealServer.startWithConfigFile(binary, folder, options)
                : RealServer.start(binary, folder, options);
    }

    RelayLink open(String name, Side source, Side target, LinkStart start, LinkListener listener, int port) {
        return open(name, source, target, start, listener, port, ENVIRONMENT);
    }

    RelayLink open(
            String name,
            Side source,
            Side target,
            LinkStart start,
            LinkListener listener,
            int port,
            Environment environment) {
        return open(name, source, target, start, listener, port, environment, CopyLimits.NONE);
    }

    RelayLink open(
            String name,
            Side source,
            Side target,
            LinkStart start,
            LinkListener listener,
            int port,
            Environment environment,
            CopyLimits copy) {
        StreamTranslator translator =
                StreamTranslator.between(Dialect.read(source.connection), Dialect.read(target.connection));
        RelayLink link = RelayLink.open(
                new LinkSettings(
                        name,
                        source.fleet,
                        target.fleet,
                        InetAddress.getLoopbackAddress(),
                        port,
                        SECRET,
                        start,
                        translator,
                        copy),
                environment,
                listener);
        links.add(link);
        return link;
    }

    /** A link that has copied {@code source} to {@code target} and follows. */
    RelayLink copied(String name, Side source, Side target, LinkListener listener, Optional<Path> backup) {
        RelayLink link = open(name, source, target, new LinkStart.FullCopy(backup), listener, 0);
        link.admit();
        target.call("REPLICAOF", link.face().host(), "" + link.face().port());
        awaitPhase(link, LinkStatus.Phase.STREAMING);
        return link;
    }

    static void awaitPhase(RelayLink link, LinkStatus.Phase phase) {
        try {
            Await.until(LIMIT, "the link is " + phase, () -> link.status().phase() == phase);
        } catch (AssertionError e) {
            throw new AssertionError(e.getMessage() + "; it is " + link.status(), e);
        }
    }

    /** Everything that {@code source} has written until now is applied at the link's target. */
    static void drain(RelayLink link, Side source) {
        long written = source.state().offset();
        if (!link.awaitApplied(written, Deadline.in(ENVIRONMENT, LIMIT))) {
            throw new AssertionError("not drained to " + written + ": " + link.status());
        }
    }

    /** What a switch leaves: the link that now goes the other way, and how long its parts took. */
    record Switched(RelayLink link, LinkBase base, Heard heard, String took) {}

    /** Moves the writes from {@code from} to {@code to}, which {@code forward} feeds; the data cannot change meanwhile. */
    Switched switchOver(Side from, Side to, RelayLink forward) {
        Token token = Token.open(++attempt, "pair");
        RoleCommands.writeToken(from.connection, token);
        Heard heard = new Heard();
        RelayLink reverse = open("reverse-" + attempt, to, from, new LinkStart.Later(), heard, 0);
        long start = System.nanoTime();
        drain(forward, from);
        long drained = System.nanoTime();
        RoleChange.Changed fenced = (RoleChange.Changed) RoleCommands.follow(from.connection, reverse.face(), token);
        if (!forward.awaitApplied(fenced.offsetAtChange(), Deadline.in(ENVIRONMENT, LIMIT))) {
            throw new AssertionError("not drained: " + forward.status());
        }
        long targetOffset = forward.targetOffsetOf(fenced.offsetAtChange());
        long fence = System.nanoTime();
        RoleChange.Changed promoted = (RoleChange.Changed) RoleCommands.promote(to.connection, token);
        long promote = System.nanoTime();
        if (promoted.offsetAtChange() != targetOffset) {
            throw new AssertionError("promoted at " + promoted.offsetAtChange() + ", drained to " + targetOffset);
        }
        forward.close();
        long close = System.nanoTime();
        LinkBase base = new LinkBase(
                promoted.after().id(), promoted.offsetAtChange(), fenced.after().id(), fenced.offsetAtChange());
        reverse.admit(base);
        String took = "drain %d us, fence %d us, promote %d us, close %d us"
                .formatted(
                        (drained - start) / 1000,
                        (fence - drained) / 1000,
                        (promote - fence) / 1000,
                        (close - promote) / 1000);
        return new Switched(reverse, base, heard, took);
    }

    @Override
    public void close() {
        links.forEach(RelayLink::stop);
        a.close();
        b.close();
    }
}
