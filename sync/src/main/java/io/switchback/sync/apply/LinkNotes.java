package io.switchback.sync.apply;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.InfoReport;
import io.switchback.fleet.ReplicationState;
import io.switchback.fleet.RoleCommands.OtherClients;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.Token;
import io.switchback.fleet.Topology;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import io.switchback.sync.LinkBase;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** What others than its owner write of a link to the servers at its ends: where it begins, where it ends, that it is over. Blocking; without state. */
final class LinkNotes {
    private static final Duration ANSWER_MAX = Duration.ofSeconds(5);
    private static final int ATTEMPTS_MAX = 10;
    /** Slots of which keys are removed in one pipeline, and names in one command. */
    private static final int SLOTS_AT_ONCE = 512;

    private static final int NAMES_AT_ONCE = 64;
    private static final int SELECT_BYTES = CommandEncoder.encode("SELECT", "0").length;
    private static final int TRANSACTION_BYTES =
            CommandEncoder.encode("MULTI").length + CommandEncoder.encode("EXEC").length;

    private LinkNotes() {}

    /** As {@link ApplyLink#begin}. */
    static LinkBase begin(ServerConnection server, String name) {
        ReplicationState state = ReplicationState.read(server);
        if (state.role() != ReplicationState.Role.PRIMARY) {
            throw new FleetException(
                    FleetException.Code.REFUSED,
                    server.endpoint() + " is no primary any more; the link cannot begin there");
        }
        if (InfoReport.read(server).number("cluster_enabled", 0) == 1) {
            return new LinkBase(state.id(), state.offset(), "", -1);
        }
        server.demand("SELECT", "0");
        server.demand("MULTI");
        server.demand("ROLE");
        server.demand("SET", LinkKeys.of(name, LinkKeys.NO_SLOT).begin(), state.id());
        long offset = offsetBefore(server, server.demand("EXEC"));
        return new LinkBase(state.id(), offset, "", -1);
    }

    /** As {@link ApplyLink#leave}. */
    static long leave(ServerConnection server, int slot, String name, Token by, OtherClients others) {
        for (int attempt = 1; attempt < ATTEMPTS_MAX; attempt++) {
            OptionalLong end = tryToLeave(server, slot, name, by, others);
            if (end.isPresent()) {
                return end.getAsLong();
            }
        }
        throw new FleetException(
                FleetException.Code.REFUSED,
                server.endpoint() + " was noted " + ATTEMPTS_MAX + " times to be left while this note was on its way");
    }

    /** Empty where another note came in between. */
    private static OptionalLong tryToLeave(
            ServerConnection server, int slot, String name, Token by, OtherClients others) {
        String key = LinkKeys.of(name, slot).left();
        server.demand("SELECT", "0");
        server.demand("WATCH", key);
        Optional<Token> present = Token.parse(server.demand("GET", key).text());
        if (present.filter(by::isOlderThan).isPresent()) {
            server.demand("UNWATCH");
            throw new FleetException(
                    FleetException.Code.REFUSED,
                    server.endpoint() + " has a note of " + present.get() + " where the link " + name
                            + " ends, newer than " + by + ": somebody else has taken over");
        }
        byte[][] note = CommandEncoder.bytes("SET", key, by.text());
        List<byte[][]> commands = new ArrayList<>();
        commands.add(CommandEncoder.bytes("MULTI"));
        commands.add(CommandEncoder.bytes("ROLE"));
        commands.add(note);
        commands.addAll(others.commands());
        commands.add(CommandEncoder.bytes("EXEC"));
        commands.add(CommandEncoder.bytes("ROLE"));
        List<Reply> replies = server.pipeline(commands);
        for (Reply reply : replies) {
            if (reply instanceof Reply.Failure(String message) && !message.startsWith("EXECABORT")) {
                throw new FleetException(
                        FleetException.Code.REFUSED,
                        server.endpoint() + " takes no note of where the link " + name + " ends: " + message);
            }
        }
        if (replies.get(replies.size() - 2) instanceof Reply.Nil) {
            return OptionalLong.empty();
        }
        // Within a transaction a server counts what it has written before it, or (6.0) before this command.
        long before = offsetBefore(server, replies.get(replies.size() - 2));
        long least = before + CommandEncoder.encode(note).length;
        long after = offset(server, replies.getLast());
        // With a SELECT or without, with a transaction's frame or without. Anything else is others' writes behind it,
        // and
        // then the least is within the note: applied up to there is applied up to its end.
        boolean alone = after == least
                || after == least + SELECT_BYTES
                || after == least + TRANSACTION_BYTES
                || after == least + SELECT_BYTES + TRANSACTION_BYTES;
        return OptionalLong.of(alone ? after : least);
    }

    /** What ROLE has said in front of a write, in one transaction with it. */
    private static long offsetBefore(ServerConnection server, Reply ran) {
        if (ran instanceof Reply.Array(List<Reply> answers)
                && answers.size() >= 2
                && answers.stream().noneMatch(Reply::isError)) {
            return offset(server, answers.getFirst());
        }
        throw noPrimary(server, ran);
    }

    private static long offset(ServerConnection server, Reply role) {
        if (role instanceof Reply.Array(List<Reply> words)
                && words.getFirst().text().equals("master")
                && words.get(1) instanceof Reply.Int(long offset)) {
            return offset;
        }
        throw noPrimary(server, role);
    }

    private static FleetException noPrimary(ServerConnection server, Reply reply) {
        return new FleetException(
                FleetException.Code.REFUSED,
                server.endpoint() + " is no primary, or does not say where its stream stands: " + reply.text());
    }

    /** Who has been said to leave the source by a note there; empty where nobody has. */
    static Optional<Token> left(Endpoint server, FleetSpec source, String name, int slot) {
        try (ServerConnection connection =
                ServerConnection.open(server, source.credential(), source.tls(), ANSWER_MAX)) {
            return Token.parse(
                    connection.demand("GET", LinkKeys.of(name, slot).left()).text());
        }
    }

    /** As {@link ApplyLink#shutOut}. */
    static void shutOut(FleetSpec target, String name, Token by) {
        for (Lanes.Primary primary : Lanes.Primary.of(target)) {
            try (ServerConnection server =
                    ServerConnection.open(primary.server(), target.credential(), target.tls(), ANSWER_MAX)) {
                Optional<Token> newer = Ownership.claim(
                        server::demand, LinkKeys.of(name, primary.slot()).owner(), by);
                if (newer.isPresent()) {
                    throw new FleetException(
                            FleetException.Code.REFUSED,
                            "the link " + name + " is not to be ended by " + by + ": " + primary.server()
                                    + " shows a newer owner, " + newer.get());
                }
                Ownership.killOthers(server::demand, name, Ownership.NOBODY);
            } catch (IOException e) {
                throw new FleetException(
                        FleetException.Code.REFUSED,
                        "the link " + name + " could not be ended at " + primary.server() + ": " + e.getMessage(),
                        e);
            }
        }
    }

    /** As {@link ApplyLink#hasNotes}. */
    static boolean hasNotes(FleetSpec left, Map<Integer, String> names) {
        Topology topology = left.topologyNow();
        for (int number = 0; number < topology.primaries().size(); number++) {
            List<byte[][]> gets = new ArrayList<>();
            for (int slot : slots(topology, number)) {
                String name = names.get(slot);
                if (name != null) {
                    gets.add(CommandEncoder.bytes("GET", LinkKeys.of(name, slot).left()));
                }
            }
            try (ServerConnection server = ServerConnection.open(
                    topology.primaries().get(number), left.credential(), left.tls(), ANSWER_MAX)) {
                List<Reply> notes = server.pipeline(gets);
                if (notes.stream().anyMatch(Reply::isError)) {
                    throw new FleetException(
                            FleetException.Code.REFUSED,
                            server.endpoint() + " does not say whether it has a link's note: " + notes);
                }
                if (notes.stream().allMatch(Reply.Nil.class::isInstance)) {
                    return false;
                }
            }
        }
        return true;
    }

    /** As {@link ApplyLink#forget}. */
    static void forget(FleetSpec fleet, List<String> names) {
        Topology topology = fleet.topologyNow();
        for (int number = 0; number < topology.primaries().size(); number++) {
            int[] slots = slots(topology, number);
            try (ServerConnection server = ServerConnection.open(
                    topology.primaries().get(number), fleet.credential(), fleet.tls(), ANSWER_MAX)) {
                for (int from = 0; from < names.size(); from += NAMES_AT_ONCE) {
                    List<String> some = names.subList(from, Math.min(names.size(), from + NAMES_AT_ONCE));
                    for (int slot = 0; slot < slots.length; slot += SLOTS_AT_ONCE) {
                        remove(server, some, slots, slot, Math.min(slots.length, slot + SLOTS_AT_ONCE));
                    }
                }
            }
        }
    }

    /** As {@link ApplyLink#keys}. */
    static List<String> keys(Topology topology, Collection<Integer> formerSlots, Collection<String> names) {
        Stream<Integer> now = IntStream.range(0, topology.primaries().size())
                .map(number -> slots(topology, number)[0])
                .boxed();
        boolean isSharded = topology instanceof Topology.Sharded;
        Stream<Integer> former = formerSlots.stream().filter(slot -> isSharded && slot != LinkKeys.NO_SLOT);
        return Stream.concat(now, former)
                .distinct()
                .flatMap(slot -> names.stream().flatMap(name -> LinkKeys.of(name, slot).all().stream()))
                .toList();
    }

    private static int[] slots(Topology topology, int shard) {
        return switch (topology) {
            case Topology.Replicated _ -> new int[] {LinkKeys.NO_SLOT};
            case Topology.Sharded(var _, int[] shardOfSlot) ->
                IntStream.range(0, shardOfSlot.length)
                        .filter(slot -> shardOfSlot[slot] == shard)
                        .toArray();
        };
    }

    private static void remove(ServerConnection server, List<String> names, int[] slots, int from, int to) {
        List<byte[][]> commands = new ArrayList<>();
        for (int i = from; i < to; i++) {
            int slot = slots[i];
            List<byte[]> words = new ArrayList<>(List.of(Lanes.word("DEL")));
            names.forEach(name -> LinkKeys.of(name, slot).all().forEach(key -> words.add(key.getBytes(UTF_8))));
            commands.add(words.toArray(byte[][]::new));
        }
        for (Reply reply : server.pipeline(commands)) {
            if (reply instanceof Reply.Failure(String message)) {
                throw new FleetException(
                        FleetException.Code.REFUSED,
                        server.endpoint() + " still has keys of links that are over: " + message);
            }
        }
    }
}
