package io.switchback.sync.apply;

import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.Keyspace;
import io.switchback.fleet.ServerConnection;
import io.switchback.resp.CommandEncoder;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Queue;
import org.jspecify.annotations.Nullable;

/**
 * One look at every key, page by page; for the link's own thread. First at the target's: what the source does not have is removed. Then at the source's: what it has is copied. What changes meanwhile is told
 * ({@link Tracking}), so that nothing is missed: SCAN gives every key that is there from its beginning to its end.
 *
 * <p>Nothing is emptied at one stroke: a target that was complete stays as near to its source as it was, wherever the walk is broken off. The removals come first, so that a target that was used for something else
 * has room.
 *
 * <p>Bounded: one page of SCAN is held.
 */
final class ScanWalk implements AutoCloseable {
    static final String PAGE_KEYS = "500";
    private static final Duration ANSWER_MAX = Duration.ofSeconds(10);

    private final Share share;
    private final FleetSpec target;
    private final ServerConnection source;
    private final ShareRemoval stillness;
    private final boolean ofStreamsAlone;

    private final Queue<Part> parts = new ArrayDeque<>();
    private @Nullable Part current;
    private @Nullable ServerConnection asked;
    private String cursor = Keyspace.END;
    private boolean sweptAny;

    /**
     * One database of one server.
     *
     * @param lane to the primary of the target that it is; null for the source
     */
    private record Part(@Nullable Lane lane, int database) {}

    /** What is done with what is found. */
    interface Finding {
        /** These of the link's keys the target has, by the source's names of them. */
        void atTarget(List<Key> keys) throws IOException;

        /** These the source has. */
        void atSource(List<Key> keys) throws IOException;
    }

    private ScanWalk(
            Share share, FleetSpec target, ServerConnection source, ShareRemoval stillness, boolean ofStreamsAlone) {
        this.share = share;
        this.target = target;
        this.source = source;
        this.stillness = stillness;
        this.ofStreamsAlone = ofStreamsAlone;
    }

    /** Over all keys of both sides. */
    static ScanWalk ofAll(Lanes lanes, Share share, FleetSpec target, ServerConnection source, ShareRemoval stillness)
            throws IOException {
        ScanWalk walk = new ScanWalk(share, target, source, stillness, false);
        stillness.demandStillness();
        for (Lane lane : lanes.all()) {
            for (int database : databasesOf(lane, target)) {
                if (share.hasDatabase(database)) {
                    walk.parts.add(new Part(lane, database));
                }
            }
        }
        walk.addSource();
        return walk;
    }

    /** Over the source's streams. */
    static ScanWalk ofStreams(Share share, FleetSpec target, ServerConnection source, ShareRemoval stillness) {
        ScanWalk walk = new ScanWalk(share, target, source, stillness, true);
        walk.addSource();
        return walk;
    }

    private void addSource() {
        Keyspace.keysByDatabase(source).keySet().stream()
                .filter(share::hasDatabase)
                .forEach(database -> parts.add(new Part(null, database)));
    }

    /** Those that a primary of the target has keys in. */
    static Collection<Integer> databasesOf(Lane lane, FleetSpec target) throws IOException {
        try (ServerConnection server =
                ServerConnection.open(lane.server(), target.credential(), target.tls(), ANSWER_MAX)) {
            return Keyspace.keysByDatabase(server).keySet();
        } catch (FleetException e) {
            throw new IOException("the target cannot be walked over: " + e.getMessage(), e);
        }
    }

    /** Does one page; true once it is over. */
    boolean step(Finding finding) throws IOException {
        Part part = current;
        if (part == null) {
            part = parts.poll();
            if (part == null) {
                if (sweptAny) {
                    stillness.demandStillness();
                }
                return true;
            }
            current = part;
            cursor = Keyspace.END;
            begin(part);
        }
        page(part, finding);
        if (cursor.equals(Keyspace.END)) {
            current = null;
            close();
        }
        return false;
    }

    private void begin(Part part) throws IOException {
        close();
        Lane lane = part.lane();
        if (lane != null) {
            try {
                asked = ServerConnection.open(lane.server(), target.credential(), target.tls(), ANSWER_MAX);
            } catch (FleetException e) {
                throw new IOException("the target cannot be walked over: " + e.getMessage(), e);
            }
            sweptAny = true;
        }
    }

    private void page(Part part, Finding finding) throws IOException {
        ServerConnection open = asked;
        ServerConnection server = part.lane() == null || open == null ? source : open;
        byte[][] scan = ofStreamsAlone
                ? CommandEncoder.bytes("SCAN", cursor, "COUNT", PAGE_KEYS, "TYPE", "stream")
                : CommandEncoder.bytes("SCAN", cursor, "COUNT", PAGE_KEYS);
        Keyspace.Page page = Keyspace.Page.read(
                server,
                server.pipeline(List.of(CommandEncoder.bytes("SELECT", Integer.toString(part.database())), scan))
                        .getLast());
        cursor = page.next();
        List<Key> keys = new ArrayList<>();
        for (byte[] name : page.names()) {
            Key key = new Key(part.database(), name);
            @Nullable Key ours = part.lane() != null ? share.source(key) : key.isReserved() ? null : key;
            if (ours != null) {
                keys.add(ours);
            }
        }
        if (part.lane() == null) {
            finding.atSource(keys);
        } else {
            finding.atTarget(keys);
        }
    }

    @Override
    public void close() {
        ServerConnection open = asked;
        if (open != null) {
            open.close();
        }
        asked = null;
    }
}
