package io.switchback.release;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.RoleCommands.OtherClients;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.Token;
import io.switchback.fleet.Topology;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import io.switchback.sync.apply.ApplyLink;
import io.switchback.sync.apply.ScanLink;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The fleet that a switch leaves, where links apply: the notes in its stream that it is left, and the connections that are killed there. For one thread at a time.
 */
final class LeftFleet implements SwitchRoles {
    private static final Logger LOG = LoggerFactory.getLogger(LeftFleet.class);

    /** In the answer to CLIENT KILL: it went by itself. */
    private static final String NO_SUCH_CLIENT = "No such client";

    private static final Pattern CLIENT = Pattern.compile("^id=(\\d+) .*? name=(\\S*) ");

    /** Clients are held while these are asked. */
    private static final Duration ANSWER_MAX = Duration.ofSeconds(2);

    private final SwitchPart part;
    private final FleetSpec fleet;
    private final List<ServerConnection> primaries = new ArrayList<>();
    /** The shards of {@link #primaries}. */
    private List<String> shards = List.of();

    private final List<ServerConnection> replicas = new ArrayList<>();
    private @Nullable Topology topology;

    LeftFleet(SwitchPart part, FleetSpec fleet) {
        this.part = part;
        this.fleet = fleet;
    }

    /** Finds its servers, connects to them and sees that its primaries answer, unless that is done. */
    @Override
    public void connectAhead() {
        connect(false);
    }

    /** As {@link #connectAhead}, but to those of its primaries that answer; whether there are any. */
    boolean connectToWhatAnswers() {
        connect(true);
        return !primaries.isEmpty();
    }

    private void connect(boolean toWhatAnswers) {
        if (topology != null) {
            return;
        }
        Topology seen = fleet.topologyNow();
        List<String> all = ApplyLinks.shards(seen);
        List<String> reached = new ArrayList<>();
        for (int shard = 0; shard < all.size(); shard++) {
            try {
                ServerConnection server =
                        ServerConnection.open(seen.primaries().get(shard), fleet.credential(), fleet.tls(), ANSWER_MAX);
                primaries.add(server);
                server.demand("PING"); // one that hangs takes connections
                reached.add(all.get(shard));
            } catch (FleetException e) {
                if (!toWhatAnswers) {
                    close();
                    throw e;
                }
                if (primaries.size() > reached.size()) {
                    primaries.removeLast().close();
                }
                LOG.warn("{}: slots {} are left without a fence: {}", fleet.name(), all.get(shard), e.getMessage());
            }
        }
        shards = List.copyOf(reached);
        List<Endpoint> others = new ArrayList<>(seen.servers());
        others.removeAll(seen.primaries());
        for (Endpoint replica : others) {
            try {
                replicas.add(MovingCache.connect(fleet, replica));
            } catch (FleetException e) {
                LOG.info("{} is left out of a fence: {}", replica, e.getMessage());
            }
        }
        topology = seen;
    }

    /** As it was seen by {@link #connectAhead}. */
    Topology topology() {
        Topology seen = topology;
        if (seen == null) {
            throw new IllegalStateException("connectAhead comes first");
        }
        return seen;
    }

    /** The shards that it is connected to, in the order of {@link #primaries}. */
    List<String> shards() {
        return shards;
    }

    List<ServerConnection> primaries() {
        return primaries;
    }

    /** Whether it takes the notes that end the links: before anybody is held. */
    void demandWritable() {
        for (int shard = 0; shard < shards.size(); shard++) {
            ApplyLink.tryToWrite(
                    primaries.get(shard), ApplyLinks.firstSlot(shards.get(shard)), name(shards.get(shard)));
        }
    }

    private String name(String slots) {
        return ApplyLinks.name(
                MovingCache.linkName(part.release(), part.cache(), part.to().other()), slots);
    }

    /**
     * Writes the note at every primary, unless one of a newer token is there; and has others' connections killed, at replicas too, which may become primaries. All of them are
     * asked at once, since nobody writes anywhere meanwhile: their order does not matter.
     *
     * @return where each primary's stream stands behind the note
     */
    List<Long> leave(Token token, OtherClients others) {
        OtherClients withNote = others;
        try {
            if (others == OtherClients.KILLED) {
                AtOnce.tell(replicas, LeftFleet::killOthers);
                if (part.link() == LinkKind.SCAN) {
                    AtOnce.tell(primaries, LeftFleet::killAllButLinks);
                    withNote = OtherClients.KEPT;
                }
            }
            OtherClients also = withNote;
            List<Integer> each = IntStream.range(0, shards.size()).boxed().toList();
            return AtOnce.ask(each, shard -> leave(shard, token, also));
        } catch (FleetException e) {
            close(); // another attempt looks anew
            throw e;
        }
    }

    private long leave(int shard, Token token, OtherClients others) {
        String slots = shards.get(shard);
        return ApplyLink.leave(primaries.get(shard), ApplyLinks.firstSlot(slots), name(slots), token, others);
    }

    /**
     * A link by scan listens over a connection like a client's, and would have to look at every key again without it. The others go one by one, before the note instead of together with it: whoever connects after
     * they were listed asks the ledger before anything is sent ({@link LedgerRouteCheck}), and that knows of the switch by then.
     */
    private static void killAllButLinks(ServerConnection server) {
        String self = server.demand("CLIENT", "ID").text();
        List<byte[][]> kills = new ArrayList<>();
        for (String type : List.of("normal", "pubsub")) {
            for (String line :
                    server.demand("CLIENT", "LIST", "TYPE", type).text().lines().toList()) {
                Matcher client = CLIENT.matcher(line);
                if (client.find() && !client.group(1).equals(self) && !ScanLink.isOfLink(client.group(2))) {
                    kills.add(CommandEncoder.bytes("CLIENT", "KILL", "ID", client.group(1)));
                }
            }
        }
        for (Reply reply : server.pipeline(kills)) {
            if (reply instanceof Reply.Failure(String message) && !message.contains(NO_SUCH_CLIENT)) {
                throw new FleetException(
                        FleetException.Code.REFUSED, server.endpoint() + " keeps its connections: " + message);
            }
        }
    }

    private static void killOthers(ServerConnection server) {
        for (Reply reply : server.pipeline(OtherClients.KILLED.commands())) {
            if (reply instanceof Reply.Failure(String message)) {
                throw new FleetException(
                        FleetException.Code.REFUSED, server.endpoint() + " keeps its connections: " + message);
            }
        }
    }

    /** The fleet that clients go to takes writes all the time. */
    @Override
    public void commit(List<SourceBase> decided) {}

    @Override
    public void abort() {
        boolean ahead = topology != null;
        try {
            leaveForAbort();
        } catch (FleetException e) {
            if (!ahead || e.code() != FleetException.Code.UNREACHABLE) {
                throw e;
            }
            leaveForAbort(); // the fence may have killed what was opened ahead
        }
    }

    /** A server that takes no note (no memory, no disk) takes that of a fence that comes late neither. */
    private void leaveForAbort() {
        connectAhead();
        try {
            leave(part.token().close(), OtherClients.KEPT);
        } catch (FleetException e) {
            if (e.code() != FleetException.Code.REFUSED) {
                throw e;
            }
            LOG.warn("switch {}: {}", part.id(), e.getMessage());
        }
    }

    @Override
    public void close() {
        primaries.forEach(ServerConnection::close);
        replicas.forEach(ServerConnection::close);
        primaries.clear();
        replicas.clear();
        shards = List.of();
        topology = null;
    }
}
