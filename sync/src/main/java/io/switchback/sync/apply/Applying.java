package io.switchback.sync.apply;

import io.switchback.fleet.ServerVersion;
import io.switchback.fleet.dialect.StreamTranslator;
import io.switchback.fleet.dialect.Translation;
import io.switchback.sync.BrokenLinkException;
import io.switchback.sync.LinkBreak;
import io.switchback.sync.rdb.DumpReader;
import io.switchback.sync.rdb.SnapshotSink;
import io.switchback.sync.rdb.ValueTarget;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;
import java.util.function.IntPredicate;
import java.util.function.LongUnaryOperator;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Turns what comes down a source's stream into what goes out over the lanes; for the link's own thread.
 *
 * <p>An effect goes out as it came, in the target's words, or as <em>state</em>: the keys that it touches are read at the source and put in the place of what the target has. As
 * state goes what the target has no words for, what a cluster would have to run over several slots, what has met a key that the target had expired by itself, and what may be in the target already, because a link that was killed had opened its window over it.
 *
 * <p>Why nothing is applied twice. A state is read together with the offset at which it was true. Effects on its key up to that offset are in it, and are left out ({@link #stateAt});
 * an effect on several keys of which one is ahead in this way cannot be run, and all its keys go as state. States are ahead of the stream, so the window is opened up to them before
 * they are sent: if the link is killed, the next one treats everything up to there as possibly done.
 *
 * <p>Why an early expiry does no harm. The target is a primary, and lets keys go at their time by its own clock, while an effect that the source has run before that time may still be
 * on its way. It then makes a new key, which has no time to live. So where a key may have had one ({@link Expiring}), its time is asked for in front of the effects, in one transaction, within which
 * a server's time stands still: a key that is there is the old key, and for one that is gone the source's state is fetched. Effects that overwrite their key need no such care. One that reads
 * several keys goes as state at once, since what it has made of such a key could not be told afterwards.
 *
 * <p>An effect that is answered with an error closes the lane, and the link begins again at its checkpoint: what was sent behind it may rest upon it, and all of it goes as state then.
 */
final class Applying {
    /** Effects of one transaction, or rewritten ones of one command, that go out as a transaction; what is larger goes out as it is. */
    private static final int TRANSACTION_COMMANDS_MAX = 8 * 1024;

    private static final int TRANSACTION_BYTES_MAX = 16 * 1024 * 1024;
    /** Keys whose state is ahead of the stream; past it the link breaks off and begins again at its checkpoint. */
    private static final int STATES_AHEAD_MAX = 1024 * 1024;

    /** States that are held before they are sent; past it they are, and what they belong to goes out in parts. */
    private static final long STATES_BYTES_MAX = 32L * 1024 * 1024;

    private static final Duration ANSWERS_POLL = Duration.ofNanos(50_000);
    private static final byte[] MULTI = Lanes.word("MULTI");

    private static final byte[] DEL = Lanes.word("DEL");
    private static final byte[] SET = Lanes.word("SET");
    private static final byte[] PTTL = Lanes.word("PTTL");
    private static final byte[] REPLACE = Lanes.word("REPLACE");

    private final Lanes lanes;
    private final Share share;
    private final ShareRemoval removal;
    private final Troubles troubles;
    private final String sourceId;
    private final StreamTranslator translator;
    private final SourceStates states;
    private final ServerVersion source;
    private final ValueTarget target;
    private final LongUnaryOperator ranAtMs;
    private final LeftOut leftOut;
    private final Expiring expiring;

    /** How far the window of an earlier session reaches: what ends up to there may be in the target already. */
    private final long doubtfulUntil;

    // Names: what is about the source's stream and states has the source's, what is about what is sent has the target's
    // (Share).
    private final Map<Key, Long> stateAt = new HashMap<>();
    private long stateAtMax;
    private final List<Write> writes = new ArrayList<>();
    private final Set<Key> checks = new LinkedHashSet<>();
    private long reach;
    private long stateBytes;
    /** Where what is put together now begins. */
    private Place begin;

    private volatile Place sent;

    /** One command for the target, and its keys by the target's names. */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    private record Write(int database, byte[][] words, List<Key> keys, Lane.Expected expected) {}

    /** @param from where the stream begins */
    Applying(
            Lanes lanes,
            Share share,
            ShareRemoval removal,
            Troubles troubles,
            String sourceId,
            Place from,
            long doubtfulUntil,
            StreamTranslator translator,
            SourceStates states,
            ServerVersion source,
            ValueTarget target,
            LongUnaryOperator ranAtMs,
            Expiring expiring,
            LeftOut leftOut) {
        this.lanes = lanes;
        this.share = share;
        this.removal = removal;
        this.troubles = troubles;
        this.sourceId = sourceId;
        this.translator = translator;
        this.states = states;
        this.source = source;
        this.target = target;
        this.ranAtMs = ranAtMs;
        this.expiring = expiring;
        this.leftOut = leftOut;
        this.doubtfulUntil = doubtfulUntil;
        this.sent = from;
        this.begin = from;
    }

    /** Up to where everything has been given to the lanes. Any thread. */
    Place sent() {
        return sent;
    }

    /** Up to where everything is applied. Any thread. */
    Place applied() {
        return lanes.applied(sent);
    }

    /** What has no effect on data: the stream stands behind it. */
    void pass(long end, int database) {
        sent = new Place(end, database);
    }

    /**
     * Applies what belongs together: one command, or those of a transaction.
     *
     * @param behind the place at which the stream stands after it
     */
    void apply(List<StreamCommand> commands, int database, Place behind)
            throws IOException, BrokenLinkException, InterruptedException {
        give(commands, database, behind.offset());
        sent = behind;
        if (behind.offset() >= stateAtMax) {
            stateAt.clear();
        }
    }

    private void give(List<StreamCommand> commands, int database, long end)
            throws IOException, BrokenLinkException, InterruptedException {
        writes.clear();
        checks.clear();
        reach = end;
        stateBytes = 0;
        begin = sent;
        int selected = database;
        for (StreamCommand command : commands) {
            if (command.name().equals("SELECT")) {
                selected = Integer.parseInt(new String(command.words()[1], StandardCharsets.US_ASCII));
            } else {
                plan(command, selected);
            }
        }
        send(sent, commands.size() > 1);
    }

    /** Applies the first part of a transaction that is too large to be held: the stream goes on to stand before it. */
    void applyPart(List<StreamCommand> commands, int database, long end)
            throws IOException, BrokenLinkException, InterruptedException {
        give(commands, database, end);
    }

    // ---------------------------------------------------------------------------------------------------- what to send

    private void plan(StreamCommand command, int database)
            throws IOException, BrokenLinkException, InterruptedException {
        if (database == Place.UNKNOWN) {
            throw new BrokenLinkException("the source's stream changes data before it has selected a database");
        }
        switch (command.name()) {
            case "PUBLISH", "SPUBLISH" -> {} // subscribers are the proxy's business
            case "FLUSHALL" -> flush(command, database, every -> true);
            case "FLUSHDB" -> flush(command, database, one -> one == database);
            case "SWAPDB" -> swap(command);
            case "SCRIPT", "FUNCTION" -> everywhere(command);
            case "CLUSTER", "RESTORE-ASKING" ->
                throw new BrokenLinkException(
                        LinkBreak.OUT_OF_STEP,
                        "slots are being moved to the source, and the link cannot follow them (" + command.name() + " "
                                + command.word(1) + " came down the stream)");
            default -> onKeys(command, database);
        }
    }

    private void onKeys(StreamCommand command, int database) throws IOException, BrokenLinkException {
        List<Key> named = keys(command, database);
        if (named.isEmpty()) {
            throw new BrokenLinkException(
                    command.name() + " came down the stream: it is not known which keys it changes");
        }
        if (named.stream().allMatch(Key::isReserved)) {
            return; // what another link keeps there is about the source
        }
        demandThatKeysAreTold(command, named);
        List<Key> keys = named.stream().filter(share::carries).toList();
        if (keys.isEmpty()) {
            return;
        }
        if (lanes.isSharded() && keys.stream().anyMatch(key -> key.database() != 0)) {
            throw new BrokenLinkException("the stream changes database "
                    + keys.getFirst().database() + ", and the target is a cluster, which has database 0 alone");
        }
        boolean ahead = false;
        boolean behind = false;
        for (Key key : keys) {
            boolean one = stateAt.getOrDefault(key, Long.MIN_VALUE) >= command.end();
            ahead |= one;
            behind |= !one;
        }
        if (ahead && !behind) {
            return;
        }
        List<Key> there =
                share.hasAllKeys() ? keys : keys.stream().map(this::there).toList();
        boolean partly = keys.size() < named.size();
        boolean overwrites = Effects.overwrites(command);
        if (ahead
                || Effects.reachesFurther(command)
                || (there.size() > 1 && !overwrites && expiring.mayExpire(there))
                || (command.end() <= doubtfulUntil && !overwrites)
                || expiring.mayLoseFields(command, there)) {
            copy(keys);
        } else if (partly) {
            spread(command, List.of(), keys, there, overwrites);
        } else {
            byte[][] words = there(command, database);
            switch (translator.translate(words, true, () -> ranAtMs.applyAsLong(command.end()))) {
                case Translation.Unchanged() -> spread(command, List.<byte[][]>of(words), keys, there, overwrites);
                case Translation.Rewritten(List<byte[][]> commands) ->
                    spread(command, commands, keys, there, overwrites);
                case Translation.Impossible _ -> copy(keys);
            }
        }
    }

    private void demandThatKeysAreTold(StreamCommand command, List<Key> named) throws BrokenLinkException {
        Optional<Key> other =
                named.stream().filter(key -> !share.hasSlotOf(key)).findFirst();
        if (other.isPresent()) {
            throw new BrokenLinkException(
                    LinkBreak.OUT_OF_STEP,
                    command.name() + " of " + other.get() + " came down the stream, of slot "
                            + other.get().slot()
                            + ", which is none of the shard's: slots are being moved to it, and the link"
                            + " cannot follow them");
        }
        if (!share.hasAllKeys() && Effects.isScript(command)) {
            throw new BrokenLinkException(
                    command.name() + " came down the stream itself, not its effects, and it is not"
                            + " known which keys it changes beside those that it names, so that it cannot be told which are"
                            + " carried; a source of 6.0 needs lua-replicate-commands yes");
        }
    }

    /** What a key that is carried is at the target. */
    private Key there(Key carried) {
        return Objects.requireNonNull(share.target(carried));
    }

    /** The words of a command of which all keys are carried, with the target's names. */
    private byte[][] there(StreamCommand command, int database) {
        if (share.hasAllKeys()) {
            return command.words();
        }
        byte[][] words = command.words().clone();
        for (int word : command.keys()) {
            words[word] = there(new Key(database, words[word])).name();
        }
        return words;
    }

    /**
     * Where all keys are carried and in one slot, or slots do not matter, it goes as it is.
     *
     * @param words what it is for the target; none where not all of its keys are carried
     */
    private void spread(
            StreamCommand command, List<byte[][]> words, List<Key> keys, List<Key> there, boolean overwrites)
            throws IOException {
        if (words.isEmpty() || (lanes.isSharded() && slots(there) > 1)) {
            if (Effects.isOfEachKey(command)) {
                eachKey(command, keys.getFirst().database());
            } else {
                copy(keys);
            }
            return;
        }
        for (byte[][] one : words) {
            writes.add(new Write(there.getFirst().database(), one, there, Lane.Expected.SUCCESS));
        }
        for (Key key : expiring.toBeChecked(command, there, overwrites)) {
            checks.add(key);
        }
    }

    /** What it does to each of its keys that is carried. */
    private void eachKey(StreamCommand command, int database) {
        boolean sets = command.name().equals("MSET");
        for (int word : command.keys()) {
            @Nullable Key there = share.target(new Key(database, command.words()[word]));
            if (there != null && sets) {
                write(there, SET, there.name(), command.words()[word + 1]);
            } else if (there != null) {
                write(there, DEL, there.name());
            }
        }
    }

    private static long slots(List<Key> keys) {
        return keys.stream().mapToInt(Key::slot).distinct().count();
    }

    private void write(Key key, byte[]... words) {
        writes.add(new Write(key.database(), words, List.of(key), Lane.Expected.SUCCESS));
    }

    /** The keys that a command touches, in every database that it touches. */
    private static List<Key> keys(StreamCommand command, int database) {
        List<Key> keys = new ArrayList<>(command.keys().length);
        for (int word : command.keys()) {
            keys.add(new Key(database, command.words()[word]));
        }
        Effects.otherDatabase(command).ifPresent(other -> {
            byte[] name = command.words()[command.keys()[command.keys().length - 1]];
            keys.add(new Key(other, name));
        });
        return keys;
    }

    // -------------------------------------------------------------------------------------------------- all of the
    // data

    private void flush(StreamCommand command, int database, IntPredicate emptied)
            throws IOException, InterruptedException {
        if (command.name().equals("FLUSHDB") && !share.hasDatabase(database)) {
            return;
        }
        List<Key> ahead = stateAt.keySet().stream()
                .filter(key -> emptied.test(key.database()))
                .toList();
        ahead.forEach(stateAt::remove);
        send(sent, false); // what stands before it in its transaction
        writes.clear();
        if (!share.isWhole()) {
            for (Lane lane : lanes.all()) {
                cover(lane);
            }
            awaitAnswers();
            removal.run(emptied, sent);
        } else if (database == 0 || command.name().equals("FLUSHALL")) {
            for (Lane lane : lanes.all()) {
                cover(lane);
            }
            lanes.emptyAll(sourceId, applied(), sent, List.of(command.name()));
        } else {
            writes.add(new Write(database, new byte[][] {command.words()[0]}, List.of(), Lane.Expected.SUCCESS));
        }
        copy(ahead); // they are of later than this, and are gone with the rest
    }

    /** Database 0 has the link's own notes at the source. */
    private void swap(StreamCommand command) throws BrokenLinkException {
        OptionalInt one = Effects.number(command, 1);
        OptionalInt other = Effects.number(command, 2);
        if (one.isPresent()
                && other.isPresent()
                && IntStream.of(one.getAsInt(), other.getAsInt())
                        .noneMatch(database -> database == 0 || share.hasDatabase(database))) {
            return;
        }
        if (command.end() <= doubtfulUntil || !stateAt.isEmpty() || lanes.isSharded()) {
            throw new BrokenLinkException(
                    LinkBreak.OUT_OF_STEP,
                    "SWAPDB came down the stream, and it cannot be told whether the target has done it; copy again");
        }
        throw new BrokenLinkException(
                LinkBreak.OUT_OF_STEP, "SWAPDB came down the stream; it moves what the link keeps at its target");
    }

    /** Scripts and functions are of no slot: every primary has them. */
    private void everywhere(StreamCommand command) throws BrokenLinkException {
        if (command.word(1).equals("KILL")) {
            return;
        }
        if (!share.hasWhatIsOfNoSlot()
                && !(command.name().equals("SCRIPT") && command.word(1).equals("LOAD"))) {
            return; // it passes by another shard's link
        }
        if (!share.hasAllKeys() && command.word(1).equals("FLUSH")) {
            return; // the target may have others, which are nothing of the source's
        }
        byte[][] words = command.words();
        if (command.name().equals("FUNCTION")
                && command.word(1).equals("LOAD")
                && !command.word(2).equals("REPLACE")) {
            words = new byte[command.words().length + 1][];
            words[0] = command.words()[0];
            words[1] = command.words()[1];
            words[2] = REPLACE; // it may have been loaded by a link that was killed
            System.arraycopy(command.words(), 2, words, 3, command.words().length - 2);
        }
        boolean removesOthers = command.word(3).equals("FLUSH") && share.hasAllKeys();
        if (command.name().equals("FUNCTION") && command.word(1).equals("RESTORE") && !removesOthers) {
            words = new byte[][] {words[0], words[1], words[2], REPLACE};
        }
        boolean removes = command.word(1).equals("DELETE");
        switch (translator.translate(words, true, () -> ranAtMs.applyAsLong(command.end()))) {
            case Translation.Unchanged() -> addEverywhere(words, removes);
            case Translation.Rewritten(List<byte[][]> commands) -> commands.forEach(one -> addEverywhere(one, removes));
            case Translation.Impossible(String why) -> throw new BrokenLinkException(why);
        }
    }

    private void addEverywhere(byte[][] words, boolean maybeDone) {
        writes.add(new Write(0, words, List.of(), maybeDone ? Lane.Expected.ANYTHING : Lane.Expected.SUCCESS));
    }

    // ------------------------------------------------------------------------------------------------------------
    // state

    /** Puts the source's state of these keys, where they are carried, in the place of what the target has. */
    private void copy(Collection<Key> keys) throws IOException {
        List<Key> wanted = keys.stream().filter(share::carries).distinct().toList();
        if (stateAt.size() + wanted.size() > STATES_AHEAD_MAX) {
            throw new IOException(
                    "the states of " + stateAt.size() + " keys are ahead of the stream, which does not get there");
        }
        states.read(wanted, state -> {
            Key key = state.key();
            Key there = there(key);
            int before = writes.size();
            if (state.payload() != null) {
                DumpReader.rebuild(
                        there.database(),
                        there.name(),
                        state.expiresAtMs(),
                        new ByteArrayInputStream(state.payload()),
                        state.payload().length,
                        source,
                        target,
                        new StateSink());
            }
            if (writes.size() == before) {
                write(there, DEL, there.name()); // it is gone, or there is nothing of it that the target can hold
            }
            stateAt.put(key, state.offset());
            stateAtMax = Math.max(stateAtMax, state.offset());
            reach = Math.max(reach, state.offset());
            checks.remove(there);
            if (stateBytes > STATES_BYTES_MAX) {
                send(begin, false);
            }
        });
    }

    /** Puts rebuilt keys among the writes. */
    private final class StateSink implements SnapshotSink {
        @Override
        public void source(Map<String, String> aux) {}

        @Override
        public void command(int database, byte[] name, byte[][] words) {
            Key key = new Key(database, name);
            write(key, words);
            for (byte[] word : words) {
                stateBytes += word.length;
            }
            expiring.rebuilt(key, words);
        }

        @Override
        public void library(byte[] code) {}

        @Override
        public void inexpressible(int database, byte[] name, String what) {
            leftOut.add(new Key(database, name), what);
        }
    }

    /** Puts right what the lanes have found wrong, and returns when that is answered. */
    void putRight() throws IOException, InterruptedException {
        while (!troubles.isEmpty()) {
            Set<Key> keys = new LinkedHashSet<>();
            for (Trouble one : troubles.take()) {
                one.keys().forEach(there -> keys.add(Objects.requireNonNull(share.source(there))));
            }
            Place from = applied();
            List<Key> all = List.copyOf(keys);
            for (int i = 0; i < all.size(); i += SourceStates.AT_ONCE) {
                writes.clear();
                checks.clear();
                reach = sent.offset();
                stateBytes = 0;
                begin = from;
                copy(all.subList(i, Math.min(all.size(), i + SourceStates.AT_ONCE)));
                send(from, false);
                awaitAnswers();
            }
        }
        troubles.settled();
    }

    /** Waits until all that was sent is answered. */
    void awaitAnswers() throws IOException, InterruptedException {
        lanes.flush();
        while (!lanes.isIdle()) {
            lanes.throwIfFailed();
            LockSupport.parkNanos(ANSWERS_POLL.toNanos());
            if (Thread.interrupted()) {
                throw new InterruptedException();
            }
        }
    }

    // -------------------------------------------------------------------------------------------------------------
    // send

    /** Gives all writes to their lanes, and the checks behind them. */
    private void send(Place from, boolean together) throws IOException {
        if (!writes.isEmpty()) {
            Map<Integer, List<Write>> groups = new LinkedHashMap<>();
            for (Write write : writes) {
                if (write.keys().isEmpty()) {
                    for (Lane lane : lanes.all()) {
                        cover(lane);
                        lane.select(write.database(), Lane.Expected.SUCCESS, from);
                        lane.send(write.expected(), from, write.words());
                    }
                } else {
                    int group = lanes.isSharded() ? write.keys().getFirst().slot() : 0;
                    groups.computeIfAbsent(group, slot -> new ArrayList<>()).add(write);
                }
            }
            for (List<Write> group : groups.values()) {
                send(lanes.of(group.getFirst().keys().getFirst()), group, from, together);
            }
        }
        writes.clear();
        checks.clear();
        stateBytes = 0;
    }

    private void cover(Lane lane) throws IOException {
        if (reach > lane.covered()) {
            lane.cover(reach, Lanes.WINDOW_BYTES, new Checkpoint(sourceId, applied(), reach));
        }
    }

    private void send(Lane lane, List<Write> group, Place from, boolean together) throws IOException {
        cover(lane);
        List<Key> checked = new ArrayList<>();
        for (Write write : group) {
            write.keys().stream()
                    .filter(key -> checks.contains(key) && !checked.contains(key))
                    .forEach(checked::add);
        }
        if (!isSmall(group)) {
            // As single commands; what cannot be checked in front of them is copied behind them.
            for (Write write : group) {
                lane.select(write.database(), Lane.Expected.SUCCESS, from);
                lane.send(write.expected(), from, write.words());
            }
            checked.forEach(key -> troubles.add(new Trouble(List.of(key), from)));
        } else if (checked.isEmpty() && (!together || group.size() == 1)) {
            for (Write write : group) {
                lane.select(write.database(), Lane.Expected.SUCCESS, from);
                lane.send(write.expected(), from, write.words());
            }
        } else {
            transaction(lane, group, from, checked);
        }
    }

    private void transaction(Lane lane, List<Write> group, Place from, List<Key> checked) throws IOException {
        int database = checked.isEmpty()
                ? group.getFirst().database()
                : checked.getFirst().database();
        lane.select(database, Lane.Expected.SUCCESS, from);
        lane.send(Lane.Expected.SUCCESS, from, MULTI);
        List<Key> here =
                checked.stream().filter(key -> key.database() == database).toList();
        for (Key key : here) {
            lane.send(Lane.Expected.SUCCESS, from, PTTL, key.name());
        }
        for (Write write : group) {
            lane.select(write.database(), Lane.Expected.SUCCESS, from);
            lane.send(Lane.Expected.SUCCESS, from, write.words());
        }
        lane.execute(from, here);
        lane.selectAgain();
        // Of another database: seldom, so that they are copied without being asked for.
        checked.stream()
                .filter(key -> key.database() != database)
                .forEach(key -> troubles.add(new Trouble(List.of(key), from)));
    }

    private static boolean isSmall(List<Write> group) {
        long bytes = 0;
        for (Write write : group) {
            bytes += Arrays.stream(write.words()).mapToLong(word -> word.length).sum();
        }
        return group.size() <= TRANSACTION_COMMANDS_MAX && bytes <= TRANSACTION_BYTES_MAX;
    }
}
