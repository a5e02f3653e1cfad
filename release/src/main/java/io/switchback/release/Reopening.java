package io.switchback.release;

import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.InfoReport;
import io.switchback.fleet.Keyspace;
import io.switchback.fleet.ReplicationState;
import io.switchback.fleet.ReplicationState.Role;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.Topology;
import io.switchback.release.ReleaseState.Side;
import io.switchback.sync.CarriedKeys;
import io.switchback.sync.LinkBase;
import io.switchback.sync.LinkBreak;
import io.switchback.sync.LinkStatus;
import io.switchback.sync.apply.ApplyLink;
import io.switchback.sync.source.StreamPosition;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Puts the two fleets of one cache in step again where their links have broken and a copy mends that: it waits until both fleets stand still, and then has the fleet in use copied to the other one
 * again, a bounded number of times.
 *
 * <p>What the other fleet has is thrown away by that, and is what is left of the data should the fleet in use have lost its own. So nothing is copied from a fleet that has far fewer keys than the other
 * one; nor while the release stands still, or somebody has said that he accepts a loss, since then the other fleet may be what he wants; nor, without a person's word, where somebody else may want it. One that is hollow
 * already has nothing to lose.
 *
 * <p>For the release's own thread; what it waits for may be read by any.
 */
final class Reopening {
    /** For so long nothing of either fleet may have changed: who moves slots moves one after the other, and between two of them none moves. */
    static final Duration SETTLED = Duration.ofSeconds(5);

    static final int ATTEMPTS_MAX = 6;
    /** Doubles with each attempt. */
    private static final Duration PAUSE = Duration.ofSeconds(5);

    private static final Duration PAUSE_MAX = Duration.ofMinutes(5);
    /** Links that have held for so long have been mended. */
    private static final Duration HELD = Duration.ofMinutes(10);
    /** A source with less than one in so many of the target's keys has lost its data. */
    private static final int LOST_FACTOR = 10;
    /** Of so few keys nothing can be told: that many may be a release's own, at one server. */
    private static final long KEYS_MIN = 32;

    /** So many are looked at where it depends on their names whether they are carried. */
    private static final int SAMPLE_KEYS = 10_000;

    private static final int PAGE_KEYS = 1000;
    private static final Logger LOG = LoggerFactory.getLogger(Reopening.class);

    private final MovingCache cache;
    private final FleetPreparation preparation;
    private final Environment environment;

    private int attempts;
    /** Since the links broke. */
    private boolean asked;

    private boolean copies;
    private long beganAtNanos;
    private boolean isWaiting;
    /** The other fleet's server followed a relay when the links were seen to be broken, or may have: one that is a primary later was made one on purpose. */
    private boolean wasFollowing;

    private long brokenSinceNanos;
    private String seen = "";
    private long settledSinceNanos;
    private volatile String waitsFor = "";
    private volatile boolean givenUp;
    /** What it waits for does not come by itself. */
    private boolean isKept;

    private volatile boolean needsPerson;

    /** What the fleet that is not in use is. */
    enum OtherFleet {
        /** Clients have never been there. */
        NOT_USED_YET,
        /** They have been led away from it. */
        LEFT,
        /** Somebody is about to lead them there, or may be. */
        WANTED
    }

    Reopening(MovingCache cache, FleetPreparation preparation, Environment environment) {
        this.cache = cache;
        this.preparation = preparation;
        this.environment = environment;
    }

    /** What keeps it from beginning now; empty where nothing does, or nothing is to be mended. */
    String waitsFor() {
        return waitsFor;
    }

    /** Whether it will not begin by itself any more. */
    boolean isGivenUp() {
        return givenUp;
    }

    /** Whether it will not begin before a person has done something. */
    boolean needsPerson() {
        return needsPerson || givenUp;
    }

    /** Somebody has looked at it, and has it tried again. */
    void isAskedFor() {
        asked = cache.linkBroken() != null;
        forgetAttempts();
    }

    private void forgetAttempts() {
        attempts = 0;
        givenUp = false;
    }

    /**
     * Begins a copy where one is owed, and now is the time.
     *
     * @param other what the fleet that is not in use is, unless it is hollow already
     */
    void look(Side inUse, OtherFleet other) {
        long now = environment.nanoTime();
        if (!cache.isMendable(inUse)) {
            rest(now);
            return;
        }
        if (cache.remembered().again() != null
                && !cache.isBrokenNow()
                && cache.linkStatus().isPresent()) {
            copies = true;
            isWaiting = false;
            waitsFor = "";
            return;
        }
        if (!isWaiting) {
            isWaiting = true;
            brokenSinceNanos = now;
            seen = "";
            wasFollowing = cache.brokenAs() != LinkBreak.OUT_OF_STEP || isFollowing(inUse.other());
        }
        if (attempts >= ATTEMPTS_MAX) {
            String vain = "it was copied again " + attempts + " times in vain" + toHaveIt("tried again", inUse, other);
            if (!givenUp) {
                givenUp = true;
                cache.linkNote("cache " + cache.name() + ": " + vain);
            }
            waitsFor = vain;
            return;
        }
        String why = whyNotNow(inUse, other, now);
        needsPerson = isKept;
        if (!why.equals(waitsFor)) {
            LOG.info("cache {}: {}", cache.name(), why.isEmpty() ? "both fleets stand still" : why);
        }
        waitsFor = why;
        if (why.isEmpty()) {
            begin(inUse);
        }
    }

    /** Nothing is to be mended. */
    private void rest(long now) {
        boolean flows = cache.linkStatus()
                .filter(link -> link.phase() == LinkStatus.Phase.STREAMING)
                .isPresent();
        if (copies && flows) {
            copies = false;
            cache.linkNote("cache " + cache.name() + ": the copy is complete, and the links flow again");
            LOG.warn(
                    "cache {}: the copy is complete: both fleets are whole",
                    cache.name()); // without a node there is the log alone
        }
        asked = false;
        needsPerson = false;
        if (attempts > 0 && flows && now - beganAtNanos > HELD.toNanos()) {
            forgetAttempts();
        }
        isWaiting = false;
        waitsFor = "";
    }

    private String whyNotNow(Side inUse, OtherFleet other, long now) {
        boolean isHollow = cache.remembered().hollow();
        isKept = !isHollow && other == OtherFleet.WANTED;
        if (isKept) {
            return "what fleet " + cache.fleet(inUse.other()).name()
                    + " has is kept while the release stands still: rollback --accept-loss goes back to it, resume lets it be"
                    + " copied over";
        }
        try {
            String unsettled = whyUnsettled(now);
            if (!unsettled.isEmpty()) {
                return unsettled;
            }
            long pause = Math.min(PAUSE_MAX.toNanos(), PAUSE.toNanos() << attempts);
            long left = pause - (now - brokenSinceNanos);
            if (left > 0) {
                return "attempt " + (attempts + 1) + " of " + ATTEMPTS_MAX + " begins in "
                        + Duration.ofNanos(left).plusSeconds(1).toSeconds() + " s";
            }
            String kept = isHollow ? "" : whyKept(inUse, other);
            isKept = !kept.isEmpty();
            return kept.isEmpty() ? cache.links().whyNoCopyAgain(inUse) : kept;
        } catch (FleetException e) {
            seen = "";
            return String.valueOf(e.getMessage());
        }
    }

    /** What the other fleet has may be all that there is of it. */
    private String whyKept(Side inUse, OtherFleet other) {
        String lost = whyLost(inUse);
        if (!lost.isEmpty() || asked || other == OtherFleet.NOT_USED_YET) {
            return lost;
        }
        String word = whyOnlyByWord(inUse);
        return word.isEmpty() ? "" : word + toHaveIt("copied over", inUse, other);
    }

    /** A release that stands on the old fleet goes forward by resume alone; one that was never anywhere else, and cannot go on, ends. */
    private static String toHaveIt(String what, Side inUse, OtherFleet other) {
        if (other == OtherFleet.NOT_USED_YET) {
            return "";
        }
        return ": say " + (inUse == Side.NEW && other == OtherFleet.LEFT ? "pause, and resume," : "resume")
                + " to have it " + what;
    }

    // ---- whether a person has to say it

    /** What speaks for it that somebody wants what the other fleet has; empty where nothing does. */
    private String whyOnlyByWord(Side inUse) {
        String other = "fleet " + cache.fleet(inUse.other()).name();
        if (cache.brokenAs() == LinkBreak.SOURCE_SET_BACK || isSetBackNow(inUse)) {
            return "the server in use may have lost what " + other + " still has";
        }
        if (cache.brokenAs() == LinkBreak.LED_AWAY) {
            return "who has made it so may want what " + other + " has";
        }
        if (cache.kind() == LinkKind.RELAY) {
            try (ServerConnection server = cache.connect(inUse.other())) {
                if (wasFollowing && ReplicationState.read(server).role() == Role.PRIMARY) {
                    return server.endpoint() + " was made a primary, and who did that may want what it has";
                }
            }
        }
        return "";
    }

    /** The links may have broken of something else before, and do not look any more. */
    private boolean isSetBackNow(Side inUse) {
        FleetSpec source = cache.fleet(inUse);
        List<SourceBase> bases = cache.remembered().bases();
        if (cache.kind() == LinkKind.SCAN
                || !(source.address() instanceof FleetAddress.Standalone)
                || bases.size() != 1) {
            return false;
        }
        LinkBase base = bases.getFirst().base();
        long applied = cache.linkStatus().map(LinkStatus::appliedSourceOffset).orElse(-1L);
        try (ServerConnection server = cache.connect(inUse)) {
            InfoReport now = InfoReport.read(server, "replication");
            return StreamPosition.isSetBack(now, base.sourceId(), Math.max(base.sourceOffset(), applied));
        }
    }

    private boolean isFollowing(Side side) {
        if (cache.kind() != LinkKind.RELAY) {
            return false;
        }
        try (ServerConnection server = cache.connect(side)) {
            return ReplicationState.read(server).role() == Role.REPLICA;
        } catch (FleetException e) {
            LOG.info("cache {}: whether it follows is not known: {}", cache.name(), e.getMessage());
            return true;
        }
    }

    // ---- whether both fleets stand still

    private String whyUnsettled(long now) {
        List<String> stands = new ArrayList<>();
        for (Side side : Side.values()) {
            FleetSpec fleet = cache.fleet(side);
            String moving = ApplyLink.slotsMoving(fleet).orElse("");
            if (!moving.isEmpty()) {
                seen = "";
                return moving;
            }
            Topology topology = fleet.topologyNow();
            for (Endpoint primary : topology.primaries()) {
                try (ServerConnection server = MovingCache.connect(fleet, primary)) {
                    if (cache.kind() != LinkKind.RELAY
                            && ReplicationState.read(server).role() != Role.PRIMARY
                            && !cache.isFollower(server)) {
                        seen = "";
                        return primary + " of fleet " + fleet.name() + " is no primary";
                    }
                    server.demand("DBSIZE"); // one that loads its data does not say
                }
            }
            stands.add(topology.primaries() + " " + ApplyLinks.shards(topology));
        }
        if (!stands.toString().equals(seen)) {
            seen = stands.toString();
            settledSinceNanos = now;
        }
        return now - settledSinceNanos < SETTLED.toNanos()
                ? "it begins once both fleets have stood as they are for " + SETTLED.toSeconds() + " s"
                : "";
    }

    // ---- whether the fleet in use has lost its data

    private String whyLost(Side inUse) {
        FleetSpec source = cache.fleet(inUse);
        FleetSpec target = cache.fleet(inUse.other());
        Topology topologyOfTarget = target.topologyNow();
        long own = KEYS_MIN * topologyOfTarget.primaries().size();
        long inTarget = topologyOfTarget.primaries().stream()
                        .mapToLong(primary -> keys(inUse.other(), primary))
                        .sum()
                - own;
        Topology topology = source.topologyNow();
        long inSource = 0;
        for (int number = 0; number < topology.primaries().size(); number++) {
            Endpoint primary = topology.primaries().get(number);
            long keys = keys(inUse, primary);
            inSource += keys;
            long share = inTarget * slots(topology, number) / Topology.SLOTS;
            if (share > KEYS_MIN * LOST_FACTOR && keys * LOST_FACTOR < share) {
                return lost(primary + " of fleet " + source.name(), keys, target, share);
            }
        }
        return inTarget > 0 && inSource * LOST_FACTOR < inTarget
                ? lost("fleet " + source.name(), inSource, target, inTarget)
                : "";
    }

    private static String lost(String who, long keys, FleetSpec target, long expected) {
        return who + " has " + keys + " keys where fleet " + target.name() + " has some " + expected
                + " of the same: it seems to have lost its data, and fleet " + target.name()
                + ", which may have them still, is not copied over";
    }

    private static long slots(Topology topology, int shard) {
        return switch (topology) {
            case Topology.Replicated _ -> Topology.SLOTS;
            case Topology.Sharded(var _, int[] shardOfSlot) ->
                Arrays.stream(shardOfSlot).filter(owner -> owner == shard).count();
        };
    }

    /** Those that the links carry, in all databases; where not all are, about as many. */
    private long keys(Side side, Endpoint primary) {
        CarriedKeys.Way carried = cache.carriedFrom(side);
        long keys = 0;
        try (ServerConnection server = MovingCache.connect(cache.fleet(side), primary)) {
            for (Map.Entry<Integer, Long> database :
                    Keyspace.keysByDatabase(server).entrySet()) {
                keys += carried.keys().isAll()
                        ? database.getValue()
                        : Math.round(database.getValue() * carriedShare(carried, server, database.getKey()));
            }
        }
        return keys;
    }

    /** Of the first that a walk gives, which has no order. */
    private static double carriedShare(CarriedKeys.Way carried, ServerConnection server, int database) {
        server.demand("SELECT", Integer.toString(database));
        Keyspace.Page page;
        String cursor = Keyspace.END;
        long seen = 0;
        long ofThem = 0;
        do {
            page = Keyspace.page(server, cursor, PAGE_KEYS);
            seen += page.names().size();
            ofThem += page.names().stream()
                    .filter(name -> carried.target(database, name) != null)
                    .count();
            cursor = page.next();
        } while (!page.isLast() && seen < SAMPLE_KEYS);
        return seen == 0 ? 0 : ofThem / (double) seen;
    }

    // ---- the copy

    private void begin(Side inUse) {
        attempts++;
        isWaiting = false;
        beganAtNanos = environment.nanoTime();
        boolean goesOn = !cache.isBrokenNow();
        String from = cache.fleet(inUse).name();
        String to = cache.fleet(inUse.other()).name();
        cache.linkNote("cache " + cache.name() + ": fleet " + from + " is copied to fleet " + to + " again, attempt "
                + attempts + " of " + ATTEMPTS_MAX
                + (goesOn ? ", where a former leader has left it" : ": " + cache.linkBroken()));
        LOG.warn("cache {}: fleet {} is copied to fleet {} again, attempt {}", cache.name(), from, to, attempts);
        try {
            preparation.prepare(cache); // a server that was started again, or has come, has not got its settings
            if (cache.remembered().wasCopied()) {
                cache.links().copyAgain(inUse, goesOn);
            } else {
                cache.links().startCopy();
            }
            copies = true;
        } catch (FleetException | ReleaseException e) {
            LOG.warn("cache {}: the copy has not begun: {}", cache.name(), e.getMessage());
            waitsFor = String.valueOf(e.getMessage());
        }
    }
}
