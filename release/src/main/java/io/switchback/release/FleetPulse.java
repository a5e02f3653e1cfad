package io.switchback.release;

import io.switchback.environment.Environment;
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
 * <p>A server that answers anything at all, be it an error, is alive. For the release's own thread.
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
    private final Nodes nodes;
    private final Members members;
    private final Presence presence;
    private final Environment environment;
    /** Since when a fleet, known by its address, has not answered. */
    private final Map<FleetAddress, Long> silentSinceNanos = new HashMap<>();

    private long lookedNanos;

    record Question(String cache, String fleet) {}

    record Answer(boolean alive) {}

    /**
     * Fleets that do not answer.
     *
     * @param caches whose fleet in use is dead, with how that was found
     * @param doubts why one that does not answer here is not taken for dead
     */
    record Findings(Map<String, String> caches, List<String> doubts) {
        static final Findings ALL_ALIVE = new Findings(Map.of(), List.of());
    }

    FleetPulse(
            List<MovingCache> caches,
            Duration after,
            Nodes nodes,
            Members members,
            Presence presence,
            Environment environment) {
        this.presence = presence;
        this.caches = caches;
        this.after = after;
        this.nodes = nodes;
        this.members = members;
        this.environment = environment;
        this.lookedNanos = environment.nanoTime();
    }

    /** Whether a server answers, within {@link #ANSWER_LIMIT}. Blocks. */
    static boolean isAlive(FleetSpec fleet) {
        try (ServerConnection server = ServerConnection.open(fleet, ANSWER_LIMIT)) {
            server.call("PING");
            return true;
        } catch (FleetException e) {
            return e.code() != FleetException.Code.UNREACHABLE;
        }
    }

    /** Looks, where the last look is a while ago; takes up to some seconds where a fleet is silent. */
    Findings look(Side inUse) {
        long now = environment.nanoTime();
        if (now - lookedNanos < BETWEEN.toNanos()) {
            return Findings.ALL_ALIVE;
        }
        Map<String, String> dead = new LinkedHashMap<>();
        List<String> doubts = new ArrayList<>();
        for (MovingCache cache : caches) {
            FleetSpec fleet = cache.fleet(inUse);
            if (isAlive(fleet)) {
                silentSinceNanos.remove(fleet.address());
                continue;
            }
            long silent = now - silentSinceNanos.computeIfAbsent(fleet.address(), any -> now);
            if (silent >= after.toNanos()) {
                String doubt = doubt(cache.name(), fleet.name());
                if (doubt.isEmpty()) {
                    dead.put(
                            cache.name(),
                            "fleet " + fleet.name() + " (" + fleet.where() + ") has answered no node for "
                                    + Duration.ofNanos(silent).toMillis() + " ms");
                } else {
                    doubts.add("fleet " + fleet.name() + " does not answer here, but " + doubt);
                }
            }
        }
        silentSinceNanos
                .keySet()
                .retainAll(caches.stream()
                        .map(cache -> cache.fleet(inUse).address())
                        .toList());
        lookedNanos = environment.nanoTime();
        return new Findings(dead, doubts);
    }

    /** What speaks against its death; empty where every registered node says that it gets no answer. */
    private String doubt(String cache, String fleet) {
        byte[] question = ReleaseStore.bytes(new Question(cache, fleet));
        Map<String, CompletableFuture<byte[]>> answers = new LinkedHashMap<>();
        for (Member member : members.roster().members()) {
            if (member.caches().contains(cache)) {
                answers.put(member.node(), nodes.ask(member.node(), SUBJECT, question, NODE_LIMIT));
            }
        }
        String doubt = "";
        for (Map.Entry<String, CompletableFuture<byte[]>> one : answers.entrySet()) {
            try {
                if (ReleaseStore.value(one.getValue().join(), Answer.class).alive()) {
                    doubt = "node " + one.getKey() + " gets an answer from it";
                }
            } catch (CompletionException e) {
                LOG.debug("node {} does not say whether fleet {} is alive", one.getKey(), fleet, e);
                if (members.roster()
                        .member(one.getKey())
                        .filter(presence::certainlyHolds)
                        .isPresent()) {
                    continue;
                }
                doubt = "node " + one.getKey() + " cannot be asked, and may still serve its clients there; bring it"
                        + " back, remove it (switchback node remove " + one.getKey()
                        + "), or say rollback --accept-loss";
            }
        }
        return doubt;
    }
}
