package io.switchback.release;

import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ServerConnection;
import io.switchback.ledger.Member;
import io.switchback.ledger.Members;
import io.switchback.release.ReleaseState.Side;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Whether the fleets in use are alive, as all nodes see them. A fleet is taken for dead once this node has had no answer for some time, and no
 * registered node gets one either: a node that is cut off must not move everybody's clients, and one that cannot be asked may still
 * serve its own clients there, unless it holds them without the ledger, and that hears no more of it.
 *
 * <p>A server that answers anything at all, be it an error, is alive. One that takes connections and answers nothing is busy with one long
 * command, which any client can send it, or hangs: nobody can tell before the command is over, so that is given longer.
 *
 * <p>Single servers only. A fleet under sentinels and a cluster replace a primary that has died by themselves, within a time that is theirs; whether they have failed for good is
 * for a person to say ({@code rollback --accept-loss}).
 *
 * <p>For the release's own thread.
 */
final class FleetPulse {
    /** Asked of a node: whether it gets an answer from a fleet. */
    static final String SUBJECT = "fleet/pulse";

    private static final Logger LOG = LoggerFactory.getLogger(FleetPulse.class);
    /** How long a server that is alive may take to answer a PING. */
    private static final Duration ANSWER_LIMIT = Duration.ofSeconds(1);

    private static final Duration NODE_LIMIT = Duration.ofSeconds(3);
    private static final Duration BETWEEN = Duration.ofSeconds(1);

    private final List<MovingCache> caches;
    private final Duration after;
    private final Duration hungAfter;
    private final Nodes nodes;
    private final Members members;
    private final Presence presence;
    private final Environment environment;
    /** Since when a fleet, known by its address, has not answered. */
    private final Map<FleetAddress, Long> silentSinceNanos = new HashMap<>();
    /** Since when it does not even take connections. */
    private final Map<FleetAddress, Long> goneSinceNanos = new HashMap<>();

    private long lookedNanos;

    record Question(String cache, String fleet) {}

    record Answer(Sign sign) {}

    /** What is seen of a fleet. */
    enum Sign {
        /** It answers. */
        ANSWERS,
        /** It takes connections and answers nothing. */
        TAKES,
        NONE
    }

    /**
     * Fleets that do not answer.
     *
     * @param caches whose fleet in use is dead, with how that was found
     * @param doubts why one that does not answer here is not taken for dead
     * @param busy of one that only may be
     */
    record Findings(Map<String, String> caches, List<String> doubts, List<String> busy) {
        static final Findings ALL_ALIVE = new Findings(Map.of(), List.of(), List.of());
    }

    FleetPulse(
            List<MovingCache> caches,
            Duration after,
            Duration hungAfter,
            Nodes nodes,
            Members members,
            Presence presence,
            Environment environment) {
        this.presence = presence;
        this.caches = caches;
        this.after = after;
        this.hungAfter = hungAfter;
        this.nodes = nodes;
        this.members = members;
        this.environment = environment;
        this.lookedNanos = environment.nanoTime();
    }

    /** Whether a server answers, within {@link #ANSWER_LIMIT}, or what it does else. Blocks. */
    static Sign sign(FleetSpec fleet) {
        try (ServerConnection server = ServerConnection.open(fleet, ANSWER_LIMIT)) {
            server.call("PING");
            return Sign.ANSWERS;
        } catch (FleetException e) {
            if (e.code() != FleetException.Code.UNREACHABLE) {
                return Sign.ANSWERS;
            }
            return takes(fleet) ? Sign.TAKES : Sign.NONE;
        }
    }

    /** Of a fleet that is one server: of others it is for those who watch them to say whether one is busy. */
    private static boolean takes(FleetSpec fleet) {
        return fleet.address() instanceof FleetAddress.Standalone(Endpoint server)
                && ServerConnection.isTaken(server, ANSWER_LIMIT);
    }

    /** Looks, where the last look is a while ago; takes up to some seconds where a fleet is silent. */
    Findings look(Side inUse) {
        long now = environment.nanoTime();
        if (now - lookedNanos < BETWEEN.toNanos()) {
            return Findings.ALL_ALIVE;
        }
        Map<String, String> dead = new LinkedHashMap<>();
        List<String> doubts = new ArrayList<>();
        List<String> busy = new ArrayList<>();
        for (MovingCache cache : caches) {
            FleetSpec fleet = cache.fleet(inUse);
            if (!(fleet.address() instanceof FleetAddress.Standalone)) {
                continue;
            }
            Sign sign = sign(fleet);
            if (sign == Sign.ANSWERS) {
                silentSinceNanos.remove(fleet.address());
                goneSinceNanos.remove(fleet.address());
                continue;
            }
            if (sign == Sign.TAKES) {
                goneSinceNanos.remove(fleet.address());
            } else {
                goneSinceNanos.putIfAbsent(fleet.address(), now);
            }
            long silent = now - silentSinceNanos.computeIfAbsent(fleet.address(), any -> now);
            if (silent < after.toNanos()) {
                continue;
            }
            boolean hangs = silent >= hungAfter.toNanos();
            long gone = now - goneSinceNanos.getOrDefault(fleet.address(), now);
            if (!hangs && gone < after.toNanos()) {
                busy.add("fleet " + fleet.name() + " answers nothing, but takes connections: it is busy with one long"
                        + " command, or hangs, and is left after "
                        + hungAfter.toMillis() + " ms of that (fleet-loss: hung-after)");
                continue;
            }
            String doubt = doubt(cache.name(), fleet.name(), hangs);
            if (doubt.isEmpty()) {
                dead.put(
                        cache.name(),
                        "fleet " + fleet.name() + " (" + fleet.where() + ") has answered no node for "
                                + Duration.ofNanos(silent).toMillis() + " ms");
            } else {
                doubts.add("fleet " + fleet.name() + " does not answer here, but " + doubt);
            }
        }
        List<FleetAddress> looked =
                caches.stream().map(cache -> cache.fleet(inUse).address()).toList();
        silentSinceNanos.keySet().retainAll(looked);
        goneSinceNanos.keySet().retainAll(looked);
        lookedNanos = environment.nanoTime();
        return new Findings(dead, doubts, busy);
    }

    /** What speaks against its death; empty where every registered node says that it gets no answer, and, unless it {@code hangs}, no connection. */
    private String doubt(String cache, String fleet, boolean hangs) {
        byte[] question = ReleaseStore.bytes(new Question(cache, fleet));
        Map<Member, CompletableFuture<byte[]>> answers =
                nodes.askThoseWhoServe(cache, members.roster().members(), SUBJECT, question, NODE_LIMIT);
        String doubt = "";
        for (Map.Entry<Member, CompletableFuture<byte[]>> one : answers.entrySet()) {
            String node = one.getKey().node();
            try {
                switch (ReleaseStore.value(one.getValue().join(), Answer.class).sign()) {
                    case ANSWERS -> doubt = "node " + node + " gets an answer from it";
                    case TAKES -> doubt = hangs ? doubt : "node " + node + " can still connect to it";
                    case NONE -> {
                        // nothing speaks against it
                    }
                }
            } catch (CompletionException e) {
                LOG.debug("node {} does not say whether fleet {} is alive", node, fleet, e);
                if (members.roster()
                        .member(node)
                        .filter(presence::certainlyHolds)
                        .isPresent()) {
                    continue;
                }
                doubt = "node " + node + " cannot be asked, and may still serve its clients there; bring it"
                        + " back, remove it (switchback node remove " + node
                        + "), or say rollback --accept-loss";
            }
        }
        return doubt;
    }
}
