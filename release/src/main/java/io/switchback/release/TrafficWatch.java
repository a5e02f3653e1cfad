package io.switchback.release;

import io.switchback.environment.Environment;
import io.switchback.ledger.Member;
import io.switchback.ledger.Members;
import io.switchback.release.GateJudge.Judgement;
import io.switchback.release.ReleaseState.Baseline;
import io.switchback.release.ReleaseState.Side;
import io.switchback.sync.LinkStatus;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** How the fleets in use answered all nodes lately, sampled once a second, and what the gates say to it. Thread-safe. */
final class TrafficWatch {
    static final Duration SAMPLE = Duration.ofSeconds(1);
    /** How many samples make a window: it covers one second less than that. */
    static final int WINDOW_SAMPLES = 6;

    private static final Logger LOG = LoggerFactory.getLogger(TrafficWatch.class);
    /** How long a node may take to tell; the sample goes without one that takes longer. */
    private static final Duration ANSWER_LIMIT = Duration.ofMillis(300);

    private final List<MovingCache> caches;
    private final Nodes nodes;
    private final Members members;
    private final Environment environment;
    /** By cache, and by the process of a node that answered. */
    private final Map<String, Map<String, TrafficWindow>> windows = new LinkedHashMap<>();

    private long sampledNanos;

    TrafficWatch(List<MovingCache> caches, Nodes nodes, Members members, Environment environment) {
        this.caches = caches;
        this.nodes = nodes;
        this.members = members;
        this.environment = environment;
        this.sampledNanos = environment.nanoTime() - SAMPLE.toNanos();
        caches.forEach(cache -> windows.put(cache.name(), new TreeMap<>()));
    }

    /** Takes a sample, where the last one is a second old. */
    void sample(Side inUse) {
        long now = environment.nanoTime();
        synchronized (this) {
            if (now - sampledNanos < SAMPLE.toNanos() * 9 / 10) {
                return;
            }
            sampledNanos = now;
        }
        List<Member> asked = members.roster().members();
        for (MovingCache cache : caches) {
            sample(cache.name(), cache.fleet(inUse).name(), asked);
        }
    }

    private void sample(String cache, String fleet, List<Member> asked) {
        byte[] question = ReleaseStore.bytes(new NodeTraffic.Question(cache, fleet));
        Map<String, CompletableFuture<byte[]>> answers = new HashMap<>();
        nodes.askThoseWhoServe(cache, asked, NodeTraffic.SUBJECT, question, ANSWER_LIMIT)
                .forEach((member, answer) -> answers.put(process(member), answer));
        Map<String, NodeTraffic.Answer> samples = new HashMap<>();
        for (Map.Entry<String, CompletableFuture<byte[]>> one : answers.entrySet()) {
            try {
                samples.put(one.getKey(), ReleaseStore.value(one.getValue().join(), NodeTraffic.Answer.class));
            } catch (CompletionException e) {
                LOG.debug("{} does not tell of its traffic: {}", one.getKey(), String.valueOf(e.getCause()));
            }
        }
        synchronized (this) {
            Map<String, TrafficWindow> ofCache = windows(cache);
            ofCache.keySet().retainAll(answers.keySet());
            samples.forEach(
                    (process, sample) -> ofCache.computeIfAbsent(process, any -> new TrafficWindow(WINDOW_SAMPLES))
                            .add(sample.traffic()));
        }
    }

    private static String process(Member member) {
        return member.node() + " " + member.incarnation();
    }

    /** Forgets the past: another fleet is in use. */
    synchronized void clear() {
        windows.values().forEach(Map::clear);
    }

    synchronized Baseline lately(MovingCache cache) {
        return TrafficWindow.measured(windows(cache.name()).values());
    }

    synchronized Map<String, Baseline> lately() {
        Map<String, Baseline> measured = new LinkedHashMap<>();
        caches.forEach(cache -> measured.put(cache.name(), lately(cache)));
        return measured;
    }

    /** Whether every window covers all the time that it can. */
    synchronized boolean isFull() {
        return caches.stream().allMatch(this::isFull);
    }

    private synchronized boolean isFull(MovingCache cache) {
        Map<String, TrafficWindow> ofCache = windows(cache.name());
        return !ofCache.isEmpty() && ofCache.values().stream().allMatch(TrafficWindow::isFull);
    }

    /**
     * What every gate says of the last window. Ratios are judged once the window is full: a fleet's first seconds, with cold
     * caches everywhere, say little. Errors are judged at once.
     */
    List<Judgement> judge(Gates gates, Map<String, Baseline> baselines) {
        List<Judgement> found = new ArrayList<>();
        for (MovingCache cache : caches) {
            OptionalLong lag = cache.linkStatus()
                    .filter(link -> link.phase() == LinkStatus.Phase.STREAMING)
                    .map(link -> OptionalLong.of(link.lagMillis()))
                    .orElse(OptionalLong.empty());
            Baseline before = isFull(cache) ? baselines.get(cache.name()) : null;
            found.addAll(GateJudge.judge(gates, before, lately(cache), lag));
        }
        return found;
    }

    private Map<String, TrafficWindow> windows(String cache) {
        return windows.computeIfAbsent(cache, any -> new TreeMap<>());
    }
}
