package io.switchback.sync.apply;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.Keyspace;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.Topology;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.IntPredicate;

/**
 * Takes a link's share of the keys away from a target that holds others as well, those of other shards' links or of nobody's, where a link of a whole fleet would say FLUSHALL; for the link's own thread.
 *
 * <p>Keys are looked for over a connection of its own, and removed over the lanes, so that only the link's owner removes any, and what follows comes behind it. Nobody but this link writes
 * such keys there: so whatever is there when it begins is found, as long as no slot of the target moves meanwhile, which is looked for.
 *
 * <p>Bounded: one page of SCAN is held.
 */
final class ShareRemoval {
    private static final Duration ANSWER_MAX = Duration.ofSeconds(10);
    private static final int PAGE_KEYS = 1000;

    private final Lanes lanes;
    private final FleetSpec target;
    private final Share share;
    private final Pulse pulse;

    /** To be done every now and then, since it may take long. */
    @FunctionalInterface
    interface Pulse {
        void beat() throws IOException;
    }

    ShareRemoval(Lanes lanes, FleetSpec target, Share share, Pulse pulse) {
        this.lanes = lanes;
        this.target = target;
        this.share = share;
        this.pulse = pulse;
    }

    /** Sends the removal of every key of the share in those databases; all that was sent before must have been answered. */
    void run(IntPredicate databases, Place from) throws IOException {
        try {
            demandStillness();
            for (Lane lane : lanes.all()) {
                try (ServerConnection server =
                        ServerConnection.open(lane.server(), target.credential(), target.tls(), ANSWER_MAX)) {
                    for (int database : Keyspace.keysByDatabase(server).keySet()) {
                        if (databases.test(database) && share.hasDatabase(database)) {
                            removeAt(server, lane, database, from);
                        }
                    }
                }
            }
            demandStillness();
            lanes.flush();
        } catch (FleetException e) {
            throw new IOException("the link's keys could not be removed from the target: " + e.getMessage(), e);
        }
    }

    /** A key that went from a primary that is still to be looked at to one that was would not be found. */
    void demandStillness() throws IOException {
        if (!lanes.isSharded()) {
            return;
        }
        Optional<String> moving = MovingSlots.of(target);
        if (moving.isPresent()) {
            throw new IOException("the target's keys cannot be told one by one now: " + moving.get());
        }
        if (!(target.topologyNow() instanceof Topology.Sharded(List<Topology.Shard> shards, int[] shardOfSlot))) {
            throw new IOException("the target " + target.where() + " is no cluster any more");
        }
        for (int slot = 0; slot < shardOfSlot.length; slot++) {
            Endpoint now = shards.get(shardOfSlot[slot]).primary();
            if (!now.equals(lanes.of(slot).server())) {
                throw new IOException("slot " + slot + " of the target is at " + now + " now");
            }
        }
    }

    private void removeAt(ServerConnection server, Lane lane, int database, Place from) throws IOException {
        server.demand("SELECT", Integer.toString(database));
        Keyspace.Page page;
        String cursor = Keyspace.END;
        do {
            page = Keyspace.page(server, cursor, PAGE_KEYS);
            List<byte[]> ours = page.names().stream()
                    .filter(name -> share.source(new Key(database, name)) != null)
                    .toList();
            remove(lane, database, ours, from);
            pulse.beat();
            cursor = page.next();
        } while (!page.isLast());
    }

    /** A cluster takes but one slot's keys together. */
    private void remove(Lane lane, int database, List<byte[]> keys, Place from) throws IOException {
        if (keys.isEmpty()) {
            return;
        }
        if (lanes.isSharded()) {
            for (byte[] key : keys) {
                lane.send(Lane.Expected.SUCCESS, from, Lanes.word("UNLINK"), key);
            }
        } else {
            lane.select(database, Lane.Expected.SUCCESS, from);
            List<byte[]> words = new ArrayList<>(List.of(Lanes.word("UNLINK")));
            words.addAll(keys);
            lane.send(Lane.Expected.SUCCESS, from, words.toArray(byte[][]::new));
        }
    }

    /** Empties the databases that a cluster does not have: none of its shards has anything for them. */
    void emptyOtherDatabases(Place from) throws IOException {
        Lane lane = lanes.all().getFirst();
        if (lanes.isSharded()) {
            return;
        }
        try (ServerConnection server =
                ServerConnection.open(lane.server(), target.credential(), target.tls(), ANSWER_MAX)) {
            for (int database : Keyspace.keysByDatabase(server).keySet()) {
                if (database != 0) {
                    lane.select(database, Lane.Expected.SUCCESS, from);
                    lane.send(Lane.Expected.SUCCESS, from, "FLUSHDB".getBytes(US_ASCII));
                }
            }
        } catch (FleetException e) {
            throw new IOException("the target's databases could not be emptied: " + e.getMessage(), e);
        }
    }
}
