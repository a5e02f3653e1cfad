package io.switchback.sync.apply;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.Token;
import io.switchback.fleet.Topology;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import io.switchback.sync.BrokenLinkException;
import io.switchback.sync.LinkBreak;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * The connections of a link to all primaries of its target, as the target stood when they were opened: when it changes, or one of them breaks, all are closed
 * and others opened, and the link goes on from its checkpoint.
 *
 * <p>Whoever opens them claims the link at each primary with its token, and has every other connection of the link closed there ({@link Ownership}).
 *
 * <p>Used by the link's own thread, but for {@link #applied}.
 */
final class Lanes implements AutoCloseable {
    /** How far a window is opened beyond what asks for it. */
    static final long WINDOW_BYTES = 1024 * 1024;

    private static final Duration ADMINISTRATION_MAX = Duration.ofSeconds(5);
    private static final int GETS_AT_ONCE = 1024;
    private static final String EMPTY = "local owner = redis.call('GET', KEYS[1]) redis.call(ARGV[1])"
            + " if owner then redis.call('SET', KEYS[1], owner) end redis.call('SET', KEYS[2], ARGV[2])";

    /** For what no place waits for. */
    private static final Place NEVER = new Place(Long.MAX_VALUE, Place.UNKNOWN);

    /** What belongs to no place of the stream. */
    static final Place NOWHERE = new Place(-1, Place.UNKNOWN);

    private final String link;
    private final Token owner;
    private final FleetSpec target;
    private final List<Lane> all = new ArrayList<>();
    private final int @Nullable [] laneOfSlot;
    private final Troubles troubles;
    private final List<Key> outdated = new ArrayList<>();
    private final Set<String> foundKeys = new HashSet<>();

    private Lanes(String link, Token owner, FleetSpec target, Topology topology, Troubles troubles) throws IOException {
        this.link = link;
        this.owner = owner;
        this.target = target;
        this.troubles = troubles;
        try {
            switch (topology) {
                case Topology.Replicated(Endpoint primary, var _) -> {
                    laneOfSlot = null;
                    all.add(Lane.open(primary, target, LinkKeys.NO_SLOT, link, troubles::add));
                }
                case Topology.Sharded sharded -> {
                    laneOfSlot = sharded.shardOfSlot();
                    for (Primary primary : Primary.of(topology)) {
                        all.add(Lane.open(primary.server(), target, primary.slot(), link, troubles::add));
                    }
                }
            }
        } catch (IOException e) {
            close();
            throw e;
        }
    }

    /**
     * One of a target's primaries.
     *
     * @param slot its first one, by which the link's keys there are tagged, or {@link LinkKeys#NO_SLOT}
     */
    record Primary(Endpoint server, int slot) {
        /** Those that the fleet has now. Blocks. */
        static List<Primary> of(FleetSpec fleet) {
            return of(fleet.topologyNow());
        }

        static List<Primary> of(Topology topology) {
            return switch (topology) {
                case Topology.Replicated(Endpoint primary, var _) -> List.of(new Primary(primary, LinkKeys.NO_SLOT));
                case Topology.Sharded sharded ->
                    IntStream.range(0, sharded.shards().size())
                            .mapToObj(shard -> new Primary(
                                    sharded.shards().get(shard).primary(),
                                    sharded.slotsOf(shard).first()))
                            .toList();
            };
        }
    }

    /**
     * Connects to every primary that the target has now, and makes sure that no other connection of the link writes there.
     *
     * @throws BrokenLinkException where a newer owner has had the link
     */
    static Lanes open(String link, Token owner, FleetSpec target, Troubles troubles)
            throws IOException, BrokenLinkException {
        Lanes lanes = new Lanes(link, owner, target, target.topologyNow(), troubles);
        try {
            for (Lane lane : lanes.all) {
                lanes.own(lane);
            }
            return lanes;
        } catch (IOException | BrokenLinkException e) {
            lanes.close();
            throw e;
        }
    }

    private void own(Lane lane) throws IOException, BrokenLinkException {
        Optional<Token> newer = Ownership.claim(lane::demand, lane.keys().owner(), owner);
        if (newer.isPresent()) {
            throw new BrokenLinkException("a newer owner has taken the link over (" + newer.get() + " against " + owner
                    + ", by key " + lane.keys().owner() + " of " + lane.server() + ")");
        }
        Ownership.killOthers(lane::demand, link, lane.clientId());
    }

    // ------------------------------------------------------------------------------------------------- the checkpoints

    /** What the target's primaries say of the link's former work. */
    sealed interface Found {
        /** Nothing. */
        record Nothing() implements Found {}

        /** It was being filled. */
        record HalfCopied() implements Found {}

        /** This. */
        record At(Checkpoint checkpoint) implements Found {}
    }

    /** Reads every checkpoint of the link, those of slots that a primary had formerly too; only before {@link #begin}. */
    Found found() throws IOException, BrokenLinkException {
        List<Checkpoint> checkpoints = new ArrayList<>();
        for (Map.Entry<String, String> note : notes().entrySet()) {
            String text = note.getValue();
            if (Checkpoint.isCopying(text)) {
                return new Found.HalfCopied();
            }
            checkpoints.add(Checkpoint.of(text)
                    .orElseThrow(() -> new BrokenLinkException("the checkpoint " + note.getKey()
                            + " at the target is none of this version's: \"" + text + "\"")));
        }
        if (checkpoints.stream().map(Checkpoint::sourceId).distinct().count() > 1) {
            throw new BrokenLinkException(
                    LinkBreak.OUT_OF_STEP,
                    "the target's primaries have checkpoints of several histories: " + checkpoints);
        }
        Optional<Checkpoint> together = Checkpoint.together(checkpoints);
        return together.isPresent() ? new Found.At(together.get()) : new Found.Nothing();
    }

    /** What the link has noted at all primaries, by the keys of the notes, those of slots that a primary had formerly too; only before {@link #begin}. */
    Map<String, String> notes() throws IOException {
        Map<String, String> notes = new LinkedHashMap<>();
        for (Lane lane : all) {
            try (ServerConnection connection =
                    ServerConnection.open(lane.server(), target.credential(), target.tls(), ADMINISTRATION_MAX)) {
                for (Map.Entry<String, String> note : notes(connection, lane).entrySet()) {
                    foundKeys.add(note.getKey());
                    if (!note.getKey().equals(lane.keys().checkpoint())) {
                        outdated.add(new Key(0, note.getKey().getBytes(UTF_8)));
                    }
                    notes.put(note.getKey(), note.getValue());
                }
            } catch (FleetException e) {
                throw new IOException(e.getMessage(), e);
            }
        }
        return notes;
    }

    /** The keys of the checkpoints that {@link #found} has seen. */
    Set<String> foundKeys() {
        return foundKeys;
    }

    /** The keys of the checkpoints that are written by these lanes. */
    Set<String> checkpointKeys() {
        return all.stream().map(lane -> lane.keys().checkpoint()).collect(Collectors.toUnmodifiableSet());
    }

    /** The checkpoints that the server holds, by their keys. */
    private Map<String, String> notes(ServerConnection connection, Lane lane) throws IOException {
        int laneNumber = all.indexOf(lane);
        int[] slots = laneOfSlot == null
                ? new int[] {LinkKeys.NO_SLOT}
                : IntStream.range(0, Topology.SLOTS)
                        .filter(slot -> laneOfSlot[slot] == laneNumber)
                        .toArray();
        Map<String, String> notes = new LinkedHashMap<>();
        for (int from = 0; from < slots.length; from += GETS_AT_ONCE) {
            List<byte[][]> gets = new ArrayList<>();
            for (int i = from; i < Math.min(slots.length, from + GETS_AT_ONCE); i++) {
                gets.add(CommandEncoder.bytes("GET", LinkKeys.of(link, slots[i]).checkpoint()));
            }
            List<Reply> replies = connection.pipeline(gets);
            for (int i = 0; i < replies.size(); i++) {
                Reply reply = replies.get(i);
                switch (reply) {
                    case Reply.Nil() -> {}
                    case Reply.Failure(String message) ->
                        throw new IOException(lane.server() + " does not give the link's checkpoint: " + message);
                    default -> notes.put(new String(gets.get(i)[1], UTF_8), reply.text());
                }
            }
        }
        return notes;
    }

    /** Notes everywhere that the target is being filled, of which other links' parts are left as they are. */
    void noteCopying() throws IOException {
        mark(Checkpoint.copying());
    }

    /** Writes this everywhere in place of a checkpoint. */
    void mark(String text) throws IOException {
        for (Lane lane : all) {
            if (laneOfSlot == null) {
                lane.select(0, Lane.Expected.SUCCESS, NOWHERE);
            }
            lane.send(
                    Lane.Expected.SUCCESS,
                    NOWHERE,
                    CommandEncoder.bytes("SET", lane.keys().checkpoint(), text));
        }
        flush();
    }

    /** Notes everywhere that the target is being filled, and empties it first. */
    void beginCopy(boolean ofFunctionsToo) throws IOException {
        for (Lane lane : all) {
            if (ofFunctionsToo) {
                forgetFunctions(lane);
            }
            empty(lane, NOWHERE, Checkpoint.copying(), List.of("FLUSHALL"));
        }
        flush();
    }

    /** Removes the target's functions. */
    void forgetFunctions() throws IOException {
        for (Lane lane : all) {
            forgetFunctions(lane);
        }
    }

    private static void forgetFunctions(Lane lane) throws IOException {
        lane.send(Lane.Expected.SUCCESS, NOWHERE, CommandEncoder.bytes("FUNCTION", "FLUSH"));
    }

    /** Empties a primary, of all but what the link notes there, at one stroke; the owner's name stays whosever it is by then. */
    private void empty(Lane lane, Place from, String note, List<String> command) throws IOException {
        if (laneOfSlot == null) {
            lane.select(0, Lane.Expected.SUCCESS, from);
        }
        lane.send(
                Lane.Expected.SUCCESS,
                from,
                CommandEncoder.bytes(
                        "EVAL", EMPTY, "2", lane.keys().owner(), lane.keys().checkpoint(), command.getFirst(), note));
    }

    /** What the source's FLUSHALL or FLUSHDB of database 0 does, with the link's own keys written again in the same transaction. */
    void emptyAll(String sourceId, Place applied, Place from, List<String> command) throws IOException {
        for (Lane lane : all) {
            empty(lane, from, new Checkpoint(sourceId, applied, lane.covered()).text(), command);
        }
    }

    /** Whether a primary has notes for slots that were others' first ones. */
    boolean hasOutdated() {
        return !outdated.isEmpty();
    }

    /** Removes the notes that a primary has had for slots that were others' first ones: what is noted now is newer. */
    void dropOutdated(Place from) throws IOException {
        for (Key key : outdated) {
            of(key).send(Lane.Expected.SUCCESS, from, word("DEL"), key.name());
        }
        outdated.clear();
    }

    /** Notes at every primary that everything up to {@code place} is in. */
    void noteAll(String sourceId, Place place) throws IOException {
        for (Lane lane : all) {
            lane.note(sourceId, place);
        }
    }

    /** What stands at the target: the windows that lanes need not open again. */
    void covered(long untilAtMost) {
        all.forEach(lane -> lane.covered(untilAtMost));
    }

    // ------------------------------------------------------------------------------------------------------- the
    // stream

    /** Asks every primary something that it answers: one that answers nothing for long is taken for gone. */
    void keepAlive() throws IOException {
        for (Lane lane : all) {
            lane.send(Lane.Expected.SUCCESS, NEVER, CommandEncoder.bytes("PING"));
        }
        flush();
    }

    /** From here on replies are read. */
    void begin() throws IOException {
        for (Lane lane : all) {
            lane.begin();
        }
    }

    List<Lane> all() {
        return all;
    }

    boolean isSharded() {
        return laneOfSlot != null;
    }

    /** Who has the key. */
    Lane of(Key key) {
        return laneOfSlot == null ? all.getFirst() : of(key.slot());
    }

    /** Who has the slot; only where the target is a cluster. */
    Lane of(int slot) {
        return laneOfSlot == null ? all.getFirst() : all.get(laneOfSlot[slot]);
    }

    void flush() throws IOException {
        for (Lane lane : all) {
            lane.flush();
        }
    }

    void throwIfFailed() throws IOException {
        for (Lane lane : all) {
            lane.throwIfFailed();
        }
    }

    boolean isIdle() {
        return all.stream().allMatch(Lane::isIdle);
    }

    /**
     * Up to where the stream is applied for sure, where everything up to {@code sent} has been given to the lanes. Any thread. What was sent is looked at before what has
     * trouble: a command leaves its lane only when its trouble is known.
     */
    Place applied(Place sent) {
        Place applied = sent;
        for (Lane lane : all) {
            Place oldest = lane.oldestUnanswered();
            if (oldest != null) {
                applied = applied.earlierOf(oldest);
            }
        }
        return troubles.earliest(applied);
    }

    /** Closes all connections, and has every primary confirm that nothing sent over them is run any more; false where one does not answer. */
    boolean closeAndConfirm() {
        close();
        boolean confirmed = true;
        for (Lane lane : all) {
            try (ServerConnection connection =
                    ServerConnection.open(lane.server(), target.credential(), target.tls(), ADMINISTRATION_MAX)) {
                connection.call("CLIENT", "KILL", "ID", Long.toString(lane.clientId()));
            } catch (FleetException e) {
                confirmed = false;
            }
        }
        return confirmed;
    }

    @Override
    public void close() {
        all.forEach(Lane::close);
    }

    static byte[] word(String text) {
        return text.getBytes(US_ASCII);
    }
}
