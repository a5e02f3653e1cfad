package io.switchback.sync.apply;

import io.switchback.fleet.ServerVersion;
import io.switchback.sync.rdb.DumpReader;
import io.switchback.sync.rdb.SnapshotSink;
import io.switchback.sync.rdb.ValueTarget;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Puts the source's states of keys in the place of what the target has; for a scan link's own thread.
 *
 * <p>States of one key do not overtake each other: they are read one after the other, and all go over the one lane that the key has.
 */
final class StateCopy {
    private static final byte[] DEL = Lanes.word("DEL");

    private final Lanes lanes;
    private final Share share;
    private final SourceStates states;
    private final ServerVersion source;
    private final ValueTarget target;
    private final LeftOut leftOut;
    private final SourceStreams streams;
    private long bytes;

    StateCopy(
            Lanes lanes,
            Share share,
            SourceStates states,
            ServerVersion source,
            ValueTarget target,
            LeftOut leftOut,
            SourceStreams streams) {
        this.lanes = lanes;
        this.share = share;
        this.states = states;
        this.source = source;
        this.target = target;
        this.leftOut = leftOut;
        this.streams = streams;
    }

    /** Of states, in the source's form, that were sent so far. */
    long bytes() {
        return bytes;
    }

    /**
     * Reads the keys' states and sends them, some time before the lanes are flushed.
     *
     * @param keys those of them that are carried
     * @param from what the lanes are to call their oldest
     */
    void copy(List<Key> keys, Place from) throws IOException {
        states.read(keys.stream().filter(share::carries).toList(), state -> {
            streams.seen(state, source.product());
            send(state, from);
        });
    }

    /** As {@link #copy}, of those of the keys whose state is another than the one that was sent last. */
    void copyChanged(List<Key> streamKeys, Place from) throws IOException {
        states.read(streamKeys, state -> {
            if (streams.seen(state, source.product())) {
                send(state, from);
            }
        });
    }

    private void send(SourceStates.State state, Place from) throws IOException {
        Key key = state.key();
        @Nullable Key there = share.target(key);
        if (state.payload() == null || there == null) {
            remove(key, from);
            return;
        }
        if (lanes.isSharded() && key.database() != 0) {
            throw new IOException("database " + key.database() + " has keys, such as " + key
                    + ", and the target is a cluster, which has database 0 alone");
        }
        Sending sending = new Sending(from);
        DumpReader.rebuild(
                there.database(),
                there.name(),
                state.expiresAtMs(),
                new ByteArrayInputStream(state.payload()),
                state.payload().length,
                source,
                target,
                sending);
        if (!sending.any) {
            remove(key, from); // there is nothing of it that the target can hold
        }
        bytes += state.payload().length;
    }

    /** Removes a key that the source does not have, where it is carried. */
    void remove(Key key, Place from) throws IOException {
        @Nullable Key there = share.target(key);
        if (there == null || (lanes.isSharded() && key.database() != 0)) {
            return; // a cluster has none there
        }
        Lane lane = lanes.of(there);
        lane.select(there.database(), Lane.Expected.SUCCESS, from);
        lane.send(Lane.Expected.SUCCESS, from, DEL, there.name());
    }

    private final class Sending implements SnapshotSink {
        private final Place from;
        private boolean any;

        Sending(Place from) {
            this.from = from;
        }

        @Override
        public void source(Map<String, String> facts) {}

        @Override
        public void command(int database, byte[] name, byte[][] words) throws IOException {
            Lane lane = lanes.of(new Key(database, name));
            lane.select(database, Lane.Expected.SUCCESS, from);
            lane.send(Lane.Expected.SUCCESS, from, words);
            any = true;
        }

        @Override
        public void library(byte[] code) {}

        @Override
        public void inexpressible(int database, byte[] name, String what) {
            leftOut.add(new Key(database, name), what);
        }
    }
}
