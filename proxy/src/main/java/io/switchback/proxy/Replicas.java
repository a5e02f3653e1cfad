package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.netty.util.concurrent.ScheduledFuture;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.ReplicaReport;
import io.switchback.fleet.Topology;
import io.switchback.resp.CommandRule;
import io.switchback.resp.CommandTable;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The replicas of one primary, that of the fleet in use or of a shard of it ({@link ShardReplicas}), and which of them a client's reads may go to.
 *
 * <p>Owned by its event loop. What replicas have is told from time to time ({@link ReplicaReport}): each <em>has all until</em> a moment, which means that
 * everything which the primary had answered before that moment is in what it has applied. {@link io.switchback.fleet.ReplicaWatch} says why.
 *
 * <p><b>The rule.</b> A read of a client goes to a replica only if that has all until a moment after the client's last answer, from whomever ({@link
 * ReadPlace}); or if the client's last answer came over the very connection that the read goes over.
 *
 * <p><b>Why no client reads older than it has written or read on its connection.</b> Every answer shows a prefix of the primary's history: one of the
 * primary's all of it until then, one of a replica's what that had applied. All of a client's answers so far had come at the moment <i>t</i> of the last one, so
 * all that they show was in the primary's history at <i>t</i>, and stood in it before an offset that the primary was asked for after <i>t</i>.
 *
 * <ol>
 *   <li>A replica that has all until a moment after <i>t</i> has applied that offset: its answer shows no shorter prefix than any before it.
 *   <li>The next read over the same connection to a replica runs after the last one, in the same process, whose prefix only grows. By induction over
 *       the reads over that connection the first of them, for which 1. holds, suffices.
 *   <li>The primary shows all of its history, whatever the client has seen.
 * </ol>
 *
 * <p>That what is told of a replica is true of the process at the other end of a connection is seen from when it was asked: after the connection was there
 * ({@link Replica#isSameAs}); one that is started anew breaks all connections, and may have less than it had. That it is told of the primary in use: a report names
 * it, and no other is listened to. When the primary is another one, or the route, all that was told is forgotten. What a failover of the fleet's own loses, no rule
 * brings back.
 *
 * <p><b>How old an answer can be.</b> A read carries with it until when its replica had all as it was sent, and its answer is passed on only within {@link
 * ReplicaSettings#lagMax} after that moment; one that comes later is left and the read asked for at the primary. So a replica that was stopped
 * answers nobody when it goes on, before it has caught up.
 *
 * <p><b>Who comes back from the primary</b>, or goes to a replica that has less to do. A client that reads without a pause is always ahead of what is known of any
 * other replica. Now and then, but not while it writes, it waits a moment ({@link #CROSSING_NANOS} at most) for the replicas to be asked, and goes on there.
 *
 * <p>During a hold nothing is sent to replicas either, and what is unanswered counts; after {@link #HOLD_PATIENCE_MS} it is taken back, and asked for again
 * when clients are let go.
 */
@SuppressWarnings("FutureReturnValueIgnored") // what becomes of a task is told by other events
final class Replicas {
    /** A client that has written reads from the primary for so much longer than a replica may lag. */
    static final long MARGIN_NANOS = TimeUnit.MILLISECONDS.toNanos(100);
    /** A client stays where it reads for so long, unless that is of no use any more: so load moves to who is back. */
    private static final long STAY_NANOS = TimeUnit.SECONDS.toNanos(1);
    /** So long a client waits at most for a replica to be known to have what it has seen. */
    static final long CROSSING_NANOS = TimeUnit.MILLISECONDS.toNanos(10);
    /** After it has waited, it does not for so long. */
    private static final long CROSS_AGAIN_NANOS = TimeUnit.SECONDS.toNanos(1);
    /** So long a hold waits for a replica before its reads are taken back. */
    private static final long HOLD_PATIENCE_MS = 50;

    /** A client leaves a replica for another one that costs so much less. */
    private static final double MUCH = 2;

    private static final long CHECK_MS = 10;
    /** So often is looked who is slower than the others. */
    private static final long JUDGE_NANOS = TimeUnit.SECONDS.toNanos(1);

    private static final int ANSWERS_TO_JUDGE_BY = 20;
    /** So many times slower than the fastest. */
    private static final double SLOWER = 5;
    /** And at least so slow. */
    private static final double SLOW_NANOS = TimeUnit.MILLISECONDS.toNanos(5);

    private static final long PROBE_NANOS = TimeUnit.SECONDS.toNanos(1);

    /**
     * What a replica may answer: commands about keys whose answer follows from what it has applied. Not those that tell of the server's own memory,
     * processes, clients or scripts (OBJECT, DUMP, XINFO, INFO, EVALSHA_RO, …), change something on the side (TOUCH, PFCOUNT), or walk over keys with a
     * cursor.
     */
    private static final Set<CommandRule> ANSWERED = rules("""
            bitcount bitfield_ro bitpos exists expiretime geodist geohash geopos georadius_ro georadiusbymember_ro geosearch get getbit
            getrange hexists hexpiretime hget hgetall hkeys hlen hmget hpexpiretime hpttl hrandfield hstrlen httl hvals lcs lindex llen lpos
            lrange mget pexpiretime pttl scard sdiff sinter sintercard sismember smembers smismember srandmember strlen substr sunion
            ttl type xlen xrange xrevrange zcard zcount zdiff zinter zintercard zlexcount zmscore zrandmember zrange zrangebylex
            zrangebyscore zrank zrevrange zrevrangebylex zrevrangebyscore zrevrank zscore zunion
            """);

    private final ProxyLoop loop;
    private final ReplicaSettings settings;
    private final long lagMaxNanos;
    private final Runnable lookSoon;
    /** Of the fleet in use, in the order of their addresses. */
    private final List<Replica> replicas = new ArrayList<>();
    /** Whose they are; null where nobody has said anything of the fleet in use. */
    private @Nullable Endpoint primary;

    private boolean primaryIsSilent;
    /** When it was last heard of. */
    private long primaryAnsweredNanos;
    /** Who waits for a replica to have what it has seen. */
    private final Set<ClientSession> waiting = new LinkedHashSet<>();

    private final ScheduledFuture<?> checks;
    private long judgedNanos;
    private long random;
    private long atPrimaryForOwn;
    private long atPrimaryForNone;

    /** {@code seed} is not 0. {@code lookSoon} is called where clients wait for a report; it must not block. */
    Replicas(ProxyLoop loop, ReplicaSettings settings, long seed, Runnable lookSoon) {
        this.loop = loop;
        this.settings = settings;
        this.lagMaxNanos = settings.lagMax().toNanos();
        this.random = seed;
        this.lookSoon = lookSoon;
        this.judgedNanos = loop.nanoTime();
        this.checks = loop.executor().scheduleWithFixedDelay(this::check, CHECK_MS, CHECK_MS, TimeUnit.MILLISECONDS);
    }

    private static Set<CommandRule> rules(String names) {
        Set<CommandRule> rules = Collections.newSetFromMap(new IdentityHashMap<>());
        names(names).forEach(name -> {
            CommandRule rule = CommandTable.find(name);
            if (rule == null || !rule.repeatable() || rule.treatment() != CommandRule.Treatment.PLAIN) {
                throw new IllegalStateException(name + " is no plain command that only reads");
            }
            rules.add(rule);
        });
        return rules;
    }

    private static Stream<String> names(String names) {
        return Pattern.compile("\\s+").splitAsStream(names.strip());
    }

    /** Whether a replica may answer this command. */
    static boolean mayAnswer(@Nullable CommandRule rule) {
        return rule != null && ANSWERED.contains(rule);
    }

    /** All commands that a replica may answer. */
    static Set<CommandRule> answered() {
        return Collections.unmodifiableSet(ANSWERED);
    }

    // --- what is told of them

    /** Somebody has asked them. */
    void seen(String fleet, ReplicaReport report) {
        if (!loop.route().fleet().name().equals(fleet)
                || !(loop.topology(loop.route().fleet())
                        instanceof Topology.Replicated(Endpoint inUse, List<Endpoint> _))
                || !inUse.equals(report.primary())) {
            return;
        }
        seen(report);
    }

    /** Somebody has asked them, and it is known whose they are. */
    void seen(ReplicaReport report) {
        long now = loop.nanoTime();
        boolean isFirst = primary == null;
        primary = report.primary();
        primaryIsSilent = report.primaryIsSilent();
        primaryAnsweredNanos = report.primaryAnsweredNanos();
        Map<Endpoint, Replica> former = new HashMap<>();
        replicas.forEach(replica -> former.put(replica.server, replica));
        replicas.clear();
        for (ReplicaReport.Replica one : report.replicas()) {
            Replica known = former.remove(one.server());
            Replica replica = known == null ? new Replica(this, one.server(), isNear(one.server())) : known;
            replica.seen(one, now);
            if (known == null && isFirst) {
                replica.startsAtOnce();
            }
            replicas.add(replica);
        }
        former.values().forEach(gone -> loop.backends().closeReplica(gone));
        resumeWaiting();
    }

    private boolean isNear(Endpoint server) {
        Optional<String> zone = settings.zone();
        return zone.isPresent() && zone.get().equals(settings.zones().get(server));
    }

    private void resumeWaiting() {
        if (!waiting.isEmpty()) {
            waiting.forEach(loop::resumeLater);
            waiting.clear();
        }
    }

    /** Another server is the primary: nothing that was told is true any more. */
    void primaryChanged() {
        List<Replica> former = List.copyOf(replicas);
        routeChanged();
        former.forEach(replica -> loop.backends().closeReplica(replica));
    }

    /** Their primary is none of the fleet's any more: nothing is read from them again. */
    void end() {
        checks.cancel(false);
        primaryChanged();
    }

    /** As {@link #primaryChanged}; connections are closed with all others of the former route. */
    void routeChanged() {
        primary = null;
        primaryIsSilent = false;
        replicas.clear();
        resumeWaiting();
    }

    /** Whose they are; null where nobody has said anything of it. */
    @Nullable
    Endpoint primary() {
        return primary;
    }

    /** The replica at that address; null where there is none. */
    @Nullable
    Replica at(@Nullable Endpoint server) {
        for (int i = 0; i < replicas.size(); i++) {
            if (replicas.get(i).server.equals(server)) {
                return replicas.get(i);
            }
        }
        return null;
    }

    // --- where a read goes

    /** As old an answer may be when it is passed on. */
    long ageMaxNanos() {
        return primaryIsSilent ? lagMaxNanos + settings.withoutPrimary().toNanos() : lagMaxNanos;
    }

    private boolean isOfUse(Replica replica, long now) {
        return !replica.isEjected() && isFresh(replica, now);
    }

    /** Without a primary: those that were fresh when it was last heard of, for a while. */
    private boolean isFresh(Replica replica, long now) {
        return primaryIsSilent
                ? replica.wasFresh(primaryAnsweredNanos, lagMaxNanos) && replica.wasFresh(now, ageMaxNanos())
                : replica.isFresh(now, lagMaxNanos);
    }

    /** Whether reads may go on over this connection, to a replica from which the client has read already. */
    boolean mayStay(BackendConnection connection, long now) {
        Replica replica = connection.replica;
        return replica != null
                && connection.route.epoch() == loop.route().epoch()
                && connection.isOpen()
                && connection.isShared()
                && connection.hasRoom()
                && isOfUse(replica, now)
                && replica.isSameAs(connection);
    }

    /** Whether a client that has written then has to read from the primary still. */
    boolean hasJustWritten(long wroteNanos, long now) {
        return now - wroteNanos < lagMaxNanos + MARGIN_NANOS;
    }

    /** Whether it is time for a client to look whether another replica suits it better. */
    static boolean mayChooseAnew(long choseNanos, long now) {
        return now - choseNanos >= STAY_NANOS;
    }

    /**
     * A connection to a replica that may answer this client: of two that are drawn, the one where a read costs less. Null where there is none now.
     * {@code seenNanos}: when its last answer came; {@code hasSeen}: whether it has had one.
     */
    @Nullable
    BackendConnection choose(ClientSession session, boolean hasSeen, long seenNanos, long now) {
        int candidates = 0;
        int near = 0;
        for (int i = 0; i < replicas.size(); i++) {
            Replica replica = replicas.get(i);
            if (isCandidate(replica, hasSeen, seenNanos, now)) {
                candidates++;
                near += replica.isNear ? 1 : 0;
            }
        }
        if (candidates == 0) {
            return null;
        }
        BackendConnection chosen = near > 0 ? draw(session, near, true, hasSeen, seenNanos, now) : null;
        return chosen != null ? chosen : draw(session, candidates, false, hasSeen, seenNanos, now);
    }

    private boolean isCandidate(Replica replica, boolean hasSeen, long seenNanos, long now) {
        return isOfUse(replica, now) && (!hasSeen || replica.hasAllUntilNanos() - seenNanos > 0);
    }

    private @Nullable BackendConnection draw(
            ClientSession session, int count, boolean onlyNear, boolean hasSeen, long seenNanos, long now) {
        int first = below(count);
        int second = count == 1 ? first : (first + 1 + below(count - 1)) % count;
        BackendConnection a = null;
        BackendConnection b = null;
        BackendConnection other = null;
        int at = 0;
        for (int i = 0; i < replicas.size(); i++) {
            Replica replica = replicas.get(i);
            if (!isCandidate(replica, hasSeen, seenNanos, now) || (onlyNear && !replica.isNear)) {
                continue;
            }
            BackendConnection connection =
                    loop.backends().atReplica(session.key().atReplica(replica.server), replica);
            boolean isReady = connection != null && mayStay(connection, now);
            boolean hasItsTurn = replica.share(now) >= 1 || below(100) < replica.share(now) * 100;
            if (isReady && hasItsTurn && at == first) {
                a = connection;
            } else if (isReady && hasItsTurn && at == second) {
                b = connection;
            } else if (isReady) {
                other = connection;
            }
            at++;
        }
        if (a != null && b != null) {
            return cost(a, now) <= cost(b, now) ? a : b;
        }
        return a != null ? a : b != null ? b : other;
    }

    private static double cost(BackendConnection connection, long now) {
        Replica replica = connection.replica;
        return replica == null ? Double.MAX_VALUE : replica.cost(now);
    }

    /** Any number from 0 on, less than that; of no quality that matters (Marsaglia, "Xorshift RNGs"). */
    private int below(int bound) {
        random ^= random << 13;
        random ^= random >>> 7;
        random ^= random << 17;
        return (int) Long.remainderUnsigned(random, bound);
    }

    /** Whether a client may wait now, which it does not often. */
    boolean mayWait(boolean hasWaited, long waitedNanos, long now) {
        return !primaryIsSilent && (!hasWaited || now - waitedNanos >= CROSS_AGAIN_NANOS);
    }

    /**
     * Whether a client that is ahead of all of them should wait for a moment, after which one of them may have what it has seen: since it reads from none;
     * or, where it could stay {@code here}, since another one has much less to do.
     */
    boolean isWorthWaiting(ClientSession session, @Nullable BackendConnection here, long now) {
        BackendConnection other = choose(session, false, 0, now);
        return other != null && (here == null || (other != here && cost(other, now) * MUCH < cost(here, now)));
    }

    /** The session is resumed when something was told, or after a moment. */
    void await(ClientSession session) {
        if (waiting.add(session)) {
            lookSoon.run();
            loop.executor().schedule(() -> waitedLongEnough(session), CROSSING_NANOS, TimeUnit.NANOSECONDS);
        }
    }

    private void waitedLongEnough(ClientSession session) {
        waiting.remove(session);
        loop.resumeLater(session);
    }

    void forget(ClientSession session) {
        waiting.remove(session);
    }

    /** Reads go to the primary. {@code forOwn}: since their client has written or read what no replica is known to have. */
    void atPrimary(int commands, boolean forOwn) {
        atPrimaryForOwn += forOwn ? commands : 0;
        atPrimaryForNone += forOwn ? 0 : commands;
    }

    /** Whether any of them is of use to somebody. */
    boolean isAnyOfUse(long now) {
        for (int i = 0; i < replicas.size(); i++) {
            if (isOfUse(replicas.get(i), now)) {
                return true;
            }
        }
        return false;
    }

    // --- those that are of no use

    private void check() {
        if (replicas.isEmpty()) {
            return;
        }
        long now = loop.nanoTime();
        for (int i = 0; i < replicas.size(); i++) {
            Replica replica = replicas.get(i);
            if (!isFresh(replica, now)) {
                loop.backends().takeBackFrom(replica);
            }
            if (replica.isToBeProbed(now) && !loop.isHolding()) {
                probe(replica, now);
            }
        }
        if (now - judgedNanos >= JUDGE_NANOS) {
            judgedNanos = now;
            leaveOutTheSlow(now);
        }
    }

    /** Each is compared with the fastest. More than a share of all is not left out for being slow. */
    private void leaveOutTheSlow(long now) {
        double fastest = Double.MAX_VALUE;
        int out = 0;
        for (Replica replica : replicas) {
            double mean = replica.meanNanosLately(ANSWERS_TO_JUDGE_BY);
            fastest = mean >= 0 ? Math.min(fastest, mean) : fastest;
            out += isOfUse(replica, now) ? 0 : 1;
        }
        int outMax = (int) (settings.ejectedMax() * replicas.size());
        for (Replica replica : replicas) {
            double mean = replica.meanNanosLately(ANSWERS_TO_JUDGE_BY);
            if (mean > SLOW_NANOS && mean > fastest * SLOWER && out < outMax && isOfUse(replica, now)) {
                replica.eject(now);
                out++;
            }
            if (mean >= 0) {
                replica.forgetLately();
            } else {
                replica.isHardlyAsked();
            }
        }
    }

    private void probe(Replica replica, long now) {
        BackendConnection connection =
                loop.backends().atReplica(Backends.controlKey(loop.route()).atReplica(replica.server), replica);
        if (connection == null || !connection.isOpen()) {
            return; // it is being opened, or has just failed
        }
        replica.isProbed = true;
        Probe probe = new Probe(replica, now);
        connection.send(new Run(null, Wire.command("PING"), 1, probe, now, 1));
        loop.executor().schedule(probe::isOver, PROBE_NANOS, TimeUnit.NANOSECONDS);
    }

    /** One PING, to a replica that was left out. */
    private final class Probe implements ReplySink {
        private final Replica replica;
        private final long sentNanos;
        private boolean over;

        Probe(Replica replica, long sentNanos) {
            this.replica = replica;
            this.sentNanos = sentNanos;
        }

        @Override
        public void receive(Run run, ByteBuf in, int index, int length) {}

        @Override
        public void answered(Run run) {
            if (!over) {
                over = true;
                if (loop.nanoTime() - sentNanos > SLOW_NANOS) {
                    replica.eject(loop.nanoTime());
                } else {
                    replica.readmit(loop.nanoTime());
                }
            }
        }

        @Override
        public void lost(Run run, String why) {
            isOver();
        }

        void isOver() {
            if (!over) {
                over = true;
                replica.eject(loop.nanoTime());
            }
        }
    }

    // --- holds

    /** Nobody is kept waiting for long by a replica that does not answer. */
    void hold() {
        loop.executor()
                .schedule(
                        () -> {
                            if (loop.isHolding()) {
                                replicas.forEach(loop.backends()::takeBackFrom);
                            }
                        },
                        HOLD_PATIENCE_MS,
                        TimeUnit.MILLISECONDS);
    }

    ReplicaCounts counts() {
        long now = loop.nanoTime();
        Map<Endpoint, ReplicaCounts.One> each = new HashMap<>();
        replicas.forEach(replica -> each.put(replica.server, replica.counts(now, isOfUse(replica, now))));
        return new ReplicaCounts(each, atPrimaryForOwn, atPrimaryForNone);
    }
}
