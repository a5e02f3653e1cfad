package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import io.netty.buffer.ByteBuf;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.ReplicaReport;
import io.switchback.resp.CommandRule;
import io.switchback.resp.CommandTable;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * The replicas of each shard of the cluster in use ({@link Replicas}), by the shard's primary; and what differs from a fleet that is no cluster.
 *
 * <p>Owned by its event loop. {@link ClusterLane} decides of which shard a read is, and the shard's {@link Replicas} whether one of its replicas may answer.
 *
 * <p><b>Each shard for itself.</b> Offsets and histories of two shards have nothing to do with each other, so a session has a {@link ReadPlace} for each primary. What was proved
 * of one primary and its replicas holds for each shard as long as the same keys are there; so on one connection nobody reads older of a key than he has written or read.
 *
 * <p><b>Where a slot is at another shard.</b> A replica of the new one may not have the slot's keys yet. Who finds the map of the cluster changed ({@link
 * ClusterMap#version}), forgets what he knew of all shards, and has seen until then whatever there was: so he reads only from replicas that have all until a moment after it. By
 * then the new shard had the slot, and had got its keys, so they stand in its primary's stream before the offset that such a replica has applied. The same goes for a primary whose place a
 * replica has taken, and for switches to and from a cluster. One who has seen nothing yet gets what the new primary had within the greatest lag.
 *
 * <p><b>Where a slot is on its way.</b> The former shard's primary knows that it gives a key away, and answers ASK where it has none; its replica does not, and answers as if the key
 * did not exist. So what a replica says of a key that it does not have is never believed: the read goes to the primary, as after an error. Only such commands go to a replica whose
 * answer shows that the key was there ({@link #isOfNoKey}). A key is moved whole, so what is there is as it was at its shard's primary. Who has read a key behind ASK, has been answered
 * by the former shard's primary before, which had given the key away by then; so a replica from which he may read has given it away too. A key that a primary answers of in the same way as
 * its replica, shows its client nothing that the replica had not: he goes on there.
 *
 * <p><b>What goes on at the same time.</b> What was sent to a replica may have to be sent to its primary as well. So a session that has a part under way to a replica sends nothing else until that is
 * answered; and where the primary is asked for one read of that part, it is asked for all that stand behind it, lest they show less ({@link ClusterLane}).
 */
final class ShardReplicas {
    /** What says that there is no key, in whole: no longer than this. */
    static final int OF_NO_KEY_BYTES_MAX = 8;

    private static final Set<String> OF_NO_KEY = Set.of(
            "$-1\r\n",
            "_\r\n",
            "*-1\r\n",
            "*0\r\n",
            "%0\r\n",
            "~0\r\n",
            ":0\r\n",
            ":-2\r\n",
            "$0\r\n\r\n",
            "+none\r\n");

    /**
     * What a replica of a cluster may answer: those of {@link Replicas#answered} whose answer is one of {@link #OF_NO_KEY} where any of their keys is not there. So not those that
     * answer by an array of nothing (MGET, HMGET, ZMSCORE, …), by a bit's place, or by what the other keys have (SUNION, SDIFF, LCS, …).
     */
    private static final Set<CommandRule> ANSWERED = rules("""
            bitcount exists expiretime geodist georadius_ro georadiusbymember_ro geosearch get getbit getrange hexists hget hgetall hkeys hlen
            hrandfield hstrlen hvals lindex llen lpos lrange pexpiretime pttl scard sinter sintercard sismember smembers srandmember strlen
            substr ttl type xlen xrange xrevrange zcard zcount zinter zintercard zlexcount zrandmember zrange zrangebylex zrangebyscore zrank
            zrevrange zrevrangebylex zrevrangebyscore zrevrank zscore
            """);

    private static final CommandRule EXISTS = rules("exists").iterator().next();

    private final ProxyLoop loop;
    private final ReplicaSettings settings;
    private final Runnable lookSoon;
    private long seed;
    /** By their primaries, all of which have slots. */
    private final Map<Endpoint, Replicas> each = new LinkedHashMap<>();
    /** Of those whose primaries are gone. */
    private long atPrimaryForOwn;

    private long atPrimaryForNone;

    /** As {@link Replicas}. */
    ShardReplicas(ProxyLoop loop, ReplicaSettings settings, long seed, Runnable lookSoon) {
        this.loop = loop;
        this.settings = settings;
        this.seed = seed;
        this.lookSoon = lookSoon;
    }

    private static Set<CommandRule> rules(String names) {
        Set<CommandRule> rules = Collections.newSetFromMap(new IdentityHashMap<>());
        Pattern.compile("\\s+").splitAsStream(names.strip()).forEach(name -> {
            CommandRule rule = CommandTable.find(name);
            if (rule == null || !Replicas.mayAnswer(rule)) {
                throw new IllegalStateException(name + " is no command that a replica may answer");
            }
            rules.add(rule);
        });
        return rules;
    }

    /** Whether a replica of a cluster may answer this command, of so many words. */
    @SuppressWarnings("ReferenceEquality") // the table has one rule of a name
    static boolean mayAnswer(CommandRule rule, int words) {
        return ANSWERED.contains(rule)
                && (rule != EXISTS || words == 2); // of several keys it counts those that are there
    }

    /** All commands that a replica of a cluster may answer. */
    static Set<CommandRule> answered() {
        return Collections.unmodifiableSet(ANSWERED);
    }

    /** Whether this whole reply to one of these commands is what is answered where a key is not there. */
    static boolean isOfNoKey(ByteBuf reply) {
        int length = reply.readableBytes();
        return length <= OF_NO_KEY_BYTES_MAX
                && OF_NO_KEY.contains(reply.toString(reply.readerIndex(), length, ISO_8859_1));
    }

    // --- what is told of them

    /** Somebody has asked one primary's. */
    void seen(String fleet, ReplicaReport report) {
        ClusterMap map = loop.cluster();
        if (map == null
                || !loop.route().fleet().name().equals(fleet)
                || !map.primaries().contains(report.primary())) {
            return;
        }
        each.computeIfAbsent(report.primary(), any -> new Replicas(loop, settings, nextSeed(), lookSoon))
                .seen(report);
    }

    private long nextSeed() {
        seed += 2; // still not 0
        return seed;
    }

    /** A slot is at another server: those of primaries that have none any more are left. */
    void mapChanged(ClusterMap map) {
        List<Endpoint> primaries = map.primaries();
        List<Endpoint> gone = each.keySet().stream()
                .filter(primary -> !primaries.contains(primary))
                .toList();
        gone.forEach(this::end);
    }

    private void end(Endpoint primary) {
        Replicas former = each.remove(primary);
        if (former != null) {
            ReplicaCounts counts = former.counts();
            atPrimaryForOwn += counts.atPrimaryForOwn();
            atPrimaryForNone += counts.atPrimaryForNone();
            former.end();
        }
    }

    /** Another fleet is in use. */
    void routeChanged() {
        List.copyOf(each.keySet()).forEach(this::end);
    }

    /** Those of the shard whose primary that is; null where nobody has said anything of them. */
    @Nullable
    Replicas of(Endpoint primary) {
        return each.get(primary);
    }

    /** The replica at that address: of two shards, the one's that it follows now. Null where there is none. */
    @Nullable
    Replica at(@Nullable Endpoint server) {
        Replica found = null;
        for (Replicas replicas : each.values()) {
            Replica replica = replicas.at(server);
            if (replica != null && (found == null || replica.isKnown())) {
                found = replica;
            }
        }
        return found;
    }

    // --- as for one primary

    void forget(ClientSession session) {
        each.values().forEach(replicas -> replicas.forget(session));
    }

    void hold() {
        each.values().forEach(Replicas::hold);
    }

    /** Of each shard's. */
    List<ReplicaCounts> counts() {
        List<ReplicaCounts> all = new ArrayList<>();
        all.add(new ReplicaCounts(Map.of(), atPrimaryForOwn, atPrimaryForNone));
        each.values().forEach(replicas -> all.add(replicas.counts()));
        return all;
    }
}
