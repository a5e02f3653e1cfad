package io.switchback.sync.verify;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.Keyspace;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerVersion;
import io.switchback.fleet.Topology;
import io.switchback.fleet.dialect.ServerCommands;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.KeySlot;
import io.switchback.resp.Reply;
import io.switchback.sync.CarriedKeys;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * One of the two fleets as verification reads it: one server, or all primaries of a cluster, each asked for the keys that are its. For one thread.
 *
 * <p>Keys are spoken of by the source's names; the target is asked for them by its own, and what it has that is not carried is not seen.
 *
 * <p>Of a cluster that was seen when this was opened. Should a slot move, or a primary, the verification ends: a walk over its servers could pass over a key that moves meanwhile.
 */
final class Side implements AutoCloseable {
    private static final byte[] EXISTS = "EXISTS".getBytes(UTF_8);
    private static final byte[] XINFO = "XINFO".getBytes(UTF_8);
    /** What a server of a cluster answers that has not the key's slot. */
    private static final Set<String> MOVING = Set.of("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN");

    final ServerVersion version;
    final boolean knowsExpireTime;
    final boolean knowsFieldExpiry;
    private final FleetSpec fleet;
    private final CarriedKeys.Way keys;
    private final boolean isTarget;
    private final Duration timeout;
    private final List<Endpoint> primaries;
    private final List<ServerConnection> servers = new ArrayList<>();
    private final int @Nullable [] serverOfSlot;
    private int database;

    private Side(FleetSpec fleet, CarriedKeys.Way keys, boolean isTarget, Duration timeout) {
        this.fleet = fleet;
        this.keys = keys;
        this.isTarget = isTarget;
        this.timeout = timeout;
        Topology seen = fleet.topologyNow();
        this.serverOfSlot = seen instanceof Topology.Sharded sharded ? sharded.shardOfSlot() : null;
        this.primaries = seen.primaries();
        connect();
        try {
            this.version = ServerVersion.read(servers.getFirst());
            ServerCommands commands = ServerCommands.read(servers.getFirst());
            this.knowsExpireTime = commands.shape("pexpiretime").isPresent();
            this.knowsFieldExpiry = commands.shape("hpexpiretime").isPresent();
        } catch (FleetException e) {
            close();
            throw e;
        }
    }

    private Side(Side other) {
        this.fleet = other.fleet;
        this.keys = other.keys;
        this.isTarget = other.isTarget;
        this.timeout = other.timeout;
        this.serverOfSlot = other.serverOfSlot;
        this.primaries = other.primaries;
        this.version = other.version;
        this.knowsExpireTime = other.knowsExpireTime;
        this.knowsFieldExpiry = other.knowsFieldExpiry;
        connect();
    }

    private void connect() {
        try {
            for (Endpoint primary : primaries) {
                servers.add(ServerConnection.open(primary, fleet.credential(), fleet.tls(), timeout));
            }
        } catch (FleetException e) {
            close();
            throw e;
        }
    }

    /** The same, over connections of its own: a walk that one of them has begun the other may go on with. */
    Side another() {
        return new Side(this);
    }

    static Side source(FleetSpec fleet, CarriedKeys.Way keys, Duration timeout) {
        return new Side(fleet, keys, false, timeout);
    }

    static Side target(FleetSpec fleet, CarriedKeys.Way keys, Duration timeout) {
        return new Side(fleet, keys, true, timeout);
    }

    /** The source's name of a key that a walk has found here, in the database that is selected; null where it is not carried. */
    byte @Nullable [] sourceName(byte[] found) {
        if (isTarget) {
            return keys.source(database, found);
        }
        return keys.target(database, found) == null ? null : found;
    }

    /** The name here of a key that is carried. */
    private byte[] nameHere(byte[] sourceName) {
        return isTarget ? Objects.requireNonNull(keys.target(database, sourceName)) : sourceName;
    }

    private boolean hasNamesOfItsOwn() {
        return isTarget && keys.keys().renames();
    }

    private byte[][] inNamesHere(byte[][] command) {
        if (!hasNamesOfItsOwn()) {
            return command;
        }
        byte[][] here = command.clone();
        int key = keyAt(command);
        here[key] = nameHere(command[key]);
        return here;
    }

    private static int keyAt(byte[][] command) {
        return Arrays.equals(command[0], XINFO) ? 2 : 1;
    }

    /** Keys by database, where there are any that may be carried. */
    Map<Integer, Long> keysByDatabase() {
        Map<Integer, Long> found = new TreeMap<>();
        for (ServerConnection server : servers) {
            Keyspace.keysByDatabase(server).forEach((number, count) -> {
                if (keys.keys().hasDatabase(number)) {
                    found.merge(number, count, Long::sum);
                }
            });
        }
        return found;
    }

    /** A cluster has database 0 alone; of the others it has no keys. */
    boolean has(int wanted) {
        return wanted == 0 || serverOfSlot == null;
    }

    void select(int wanted) {
        if (database != wanted && has(wanted)) {
            servers.forEach(server -> server.demand("SELECT", Integer.toString(wanted)));
            database = wanted;
        }
    }

    /** How many servers have keys. */
    int servers() {
        return servers.size();
    }

    /** The next page of a walk over one server's keys. */
    Reply scan(int server, String cursor, int count) {
        byte[][] command = CommandEncoder.bytes("SCAN", cursor, "COUNT", Integer.toString(count));
        return checked(servers.get(server), servers.get(server).call(command), command);
    }

    private ServerConnection serverOf(byte[][] command) {
        if (serverOfSlot == null) {
            return servers.getFirst();
        }
        return servers.get(serverOfSlot[KeySlot.of(command[keyAt(command)])]);
    }

    /** An error other than WRONGTYPE (the key changed between two questions) ends the verification. */
    Reply ask(byte[]... question) {
        byte[][] command = inNamesHere(question);
        ServerConnection server = serverOf(command);
        return checked(server, server.call(command), command);
    }

    Reply ask(String name, byte[] key, String... arguments) {
        return ask(command(name, key, arguments));
    }

    List<Reply> askAll(List<byte[][]> questions) {
        return questions.isEmpty() ? List.of() : send(questions).answers();
    }

    /** Whether it has all of these keys, by one question; a cluster, whose commands name keys of one slot alone, cannot say. */
    boolean hasAll(List<byte[]> sourceNames) {
        if (serverOfSlot != null || sourceNames.isEmpty()) {
            return sourceNames.isEmpty();
        }
        byte[][] command = new byte[1 + sourceNames.size()][];
        command[0] = EXISTS;
        for (int i = 0; i < sourceNames.size(); i++) {
            command[1 + i] = isTarget ? nameHere(sourceNames.get(i)) : sourceNames.get(i);
        }
        ServerConnection server = servers.getFirst();
        return checked(server, server.call(command), command).text().equals(Integer.toString(sourceNames.size()));
    }

    /** What both answer to the same questions; they are asked at the same time. */
    record Both(List<Reply> here, List<Reply> there) {}

    /** Asks the source and the target, each by its own names. */
    static Both askBoth(Side source, Side target, List<byte[][]> questions) {
        if (questions.isEmpty()) {
            return new Both(List.of(), List.of());
        }
        Asked here = source.send(questions);
        Asked there = target.send(questions);
        return new Both(here.answers(), there.answers());
    }

    /** Questions that are under way. */
    private final class Asked {
        final List<byte[][]> commands;
        final Map<ServerConnection, List<byte[][]>> ofServer = new LinkedHashMap<>();

        Asked(List<byte[][]> commands) {
            this.commands = commands;
            if (serverOfSlot == null) {
                ofServer.put(servers.getFirst(), commands);
            } else {
                commands.forEach(command -> ofServer.computeIfAbsent(serverOf(command), one -> new ArrayList<>())
                        .add(command));
            }
            ofServer.forEach(ServerConnection::send);
        }

        /** In the order of the questions. */
        List<Reply> answers() {
            if (ofServer.size() == 1) {
                ServerConnection server = ofServer.keySet().iterator().next();
                List<Reply> replies = server.receive(commands.size());
                for (int i = 0; i < replies.size(); i++) {
                    checked(server, replies.get(i), commands.get(i));
                }
                return replies;
            }
            Map<ServerConnection, Iterator<Reply>> answers = new LinkedHashMap<>();
            ofServer.forEach((server, asked) ->
                    answers.put(server, server.receive(asked.size()).iterator()));
            List<Reply> replies = new ArrayList<>(commands.size());
            for (byte[][] command : commands) {
                ServerConnection server = serverOf(command);
                replies.add(checked(
                        server, Objects.requireNonNull(answers.get(server)).next(), command));
            }
            return replies;
        }
    }

    private Asked send(List<byte[][]> questions) {
        return new Asked(
                hasNamesOfItsOwn() ? questions.stream().map(this::inNamesHere).toList() : questions);
    }

    private Reply checked(ServerConnection server, Reply reply, byte[][] command) {
        if (reply instanceof Reply.Failure failure
                && !failure.code().equals("WRONGTYPE")
                && !failure.code().equals("NOGROUP")
                && !failure.message().contains("no such key")) {
            boolean moved = MOVING.contains(failure.code());
            throw new FleetException(
                    moved ? FleetException.Code.UNREACHABLE : FleetException.Code.REFUSED,
                    server.endpoint() + " refused " + new String(command[0], UTF_8) + " for the verification: "
                            + failure.message()
                            + (moved
                                    ? "; slots of fleet " + fleet.name()
                                            + " move, or its primaries do: compare again when that is over"
                                    : ""));
        }
        return reply;
    }

    static byte[][] command(String name, byte[] key, String... arguments) {
        byte[][] words = new byte[2 + arguments.length][];
        words[0] = name.getBytes(UTF_8);
        words[1] = key;
        for (int i = 0; i < arguments.length; i++) {
            words[2 + i] = arguments[i].getBytes(UTF_8);
        }
        return words;
    }

    @Override
    public void close() {
        servers.forEach(ServerConnection::close);
    }
}
