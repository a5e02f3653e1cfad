package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.ReservedKeys;
import io.switchback.fleet.Topology;
import io.switchback.resp.KeySlot;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Which server of the cluster in use has which slot, as one event loop knows it: what somebody has seen who looked, and what servers have said
 * since by MOVED.
 *
 * <p>Owned by its event loop. Whoever sends commands behind others that are not answered compares {@link #version}: where that has changed, a
 * slot may be at another server now, and a command there could run before one for the same key that is still on its way to the former.
 */
final class ClusterMap {
    private final @Nullable Endpoint[] servers = new Endpoint[KeySlot.SLOTS];
    /** How often each slot was found to be at another server. */
    private final int[] moves = new int[KeySlot.SLOTS];

    private @Nullable Endpoint any;
    private List<Integer> slotOfEachShard = List.of();
    /** Since when servers could not be reached, one and all. */
    private final Map<Endpoint, Long> unreachableSinceNanos = new HashMap<>(0);

    /** By their slots: where something is written that nobody reads. */
    private final Map<Integer, byte[]> reservedKeys = new HashMap<>(0);

    private int version;
    private long layout;

    /** Who has the slot; null where nobody is known to. Without a slot, one that stays the same while the cluster does. */
    @Nullable
    Endpoint server(int slot) {
        return slot < 0 ? any : servers[slot];
    }

    /** Another one each time the slot was found to be at another server, were it one that had it before. */
    int moves(int slot) {
        return moves[slot];
    }

    /** A slot of each shard, in the order of their first slots: who has that is the shard's primary, whoever that becomes. */
    List<Integer> slotOfEachShard() {
        return slotOfEachShard;
    }

    /** The primaries that have slots. */
    List<Endpoint> primaries() {
        List<Endpoint> all = new ArrayList<>();
        for (int slot : slotOfEachShard) {
            Endpoint server = servers[slot];
            if (server != null) {
                all.add(server);
            }
        }
        return all;
    }

    /** A key of Switchback's own in the server's first slot; with a {@code number}, in the one that is so many of its slots further on. */
    byte[] reservedKey(Endpoint server, int number) {
        IntStream candidates =
                number == 0 ? slotOfEachShard.stream().mapToInt(slot -> slot) : IntStream.range(0, servers.length);
        List<Integer> slots =
                candidates.filter(slot -> server.equals(servers[slot])).boxed().toList();
        int slot = slots.isEmpty() ? 0 : slots.get(number % slots.size());
        return reservedKeys.computeIfAbsent(slot, ClusterMap::reservedKeyIn);
    }

    private static byte[] reservedKeyIn(int slot) {
        int tag = 0;
        while (KeySlot.of(Integer.toString(tag).getBytes(US_ASCII)) != slot) {
            tag++;
        }
        return (ReservedKeys.PREFIX + "wait:{" + tag + "}").getBytes(US_ASCII);
    }

    /** Another one where a slot is at another server. */
    int version() {
        return version;
    }

    /** The same on every node and loop that knows the same cluster: of its slots and their servers. */
    long layout() {
        return layout;
    }

    /** Somebody has looked. */
    void seen(@Nullable Topology topology) {
        @Nullable Endpoint[] now = new Endpoint[KeySlot.SLOTS];
        if (topology instanceof Topology.Sharded sharded) {
            for (int slot = 0; slot < now.length; slot++) {
                Topology.Shard shard = sharded.shardOf(slot);
                now[slot] = shard == null ? null : shard.primary();
            }
        }
        if (!Arrays.equals(now, servers)) {
            any = topology instanceof Topology.Sharded(List<Topology.Shard> shards, int[] _) && !shards.isEmpty()
                    ? shards.getFirst().primary()
                    : null;
            for (int slot = 0; slot < now.length; slot++) {
                moves[slot] += Objects.equals(now[slot], servers[slot]) ? 0 : 1;
            }
            System.arraycopy(now, 0, servers, 0, now.length);
            changed();
        }
    }

    /** Since when that server could not be reached; from now on where it could until now. */
    long unreachableSince(Endpoint server, long nowNanos) {
        return unreachableSinceNanos.computeIfAbsent(server, any -> nowNanos);
    }

    void reached(Endpoint server) {
        if (!unreachableSinceNanos.isEmpty()) {
            unreachableSinceNanos.remove(server);
        }
    }

    /** What is about no slot goes to another server from now on, where this one was asked: it cannot be reached. */
    void avoid(Endpoint server) {
        if (!server.equals(any)) {
            return;
        }
        for (int i = 0; i < slotOfEachShard.size(); i++) {
            if (server.equals(servers[slotOfEachShard.get(i)])) {
                any = servers[slotOfEachShard.get((i + 1) % slotOfEachShard.size())];
                return;
            }
        }
        any = slotOfEachShard.isEmpty() ? any : servers[slotOfEachShard.getFirst()];
    }

    /** A server has said that the slot is at another one. */
    void moved(int slot, Endpoint to) {
        if (!to.equals(servers[slot])) {
            servers[slot] = to;
            moves[slot]++;
            changed();
        }
    }

    private void changed() {
        version++;
        reservedKeys.clear();
        List<Integer> firsts = new ArrayList<>();
        List<Endpoint> known = new ArrayList<>();
        long hash = 0;
        for (int slot = 0; slot < servers.length; slot++) {
            Endpoint server = servers[slot];
            if (slot > 0 && Objects.equals(server, servers[slot - 1])) {
                continue;
            }
            hash = hash * 1_000_003 + slot * 31L + (server == null ? 0 : server.hashCode());
            if (server != null && !known.contains(server)) {
                known.add(server);
                firsts.add(slot);
            }
        }
        layout = hash;
        unreachableSinceNanos.keySet().retainAll(known);
        slotOfEachShard = List.copyOf(firsts);
    }
}
