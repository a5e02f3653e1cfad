package io.switchback.fleet;

import io.switchback.environment.Environment;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Keeps an eye on where a fleet's servers are: looks from time to time, and at once when somebody has reason to think that it has changed.
 *
 * <p>One platform thread, which alone looks and tells the listener; the rest may be called by any thread. What was seen last stays true until something
 * else is seen: a look that finds nobody to trust changes nothing. Each problem is said once in the log, and once more that it is over.
 */
public final class FleetWatch implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(FleetWatch.class);

    /** How often sentinels are asked where nobody asks for it. */
    private static final Duration SENTINEL_EVERY = Duration.ofSeconds(1);
    /** How often the nodes of a cluster are, whose redirects say themselves when something has changed. */
    private static final Duration CLUSTER_EVERY = Duration.ofSeconds(5);
    /** Two looks are never closer together, however many connections ask: at sentinels, who are few, */
    private static final Duration SENTINEL_BETWEEN = Duration.ofMillis(25);
    /** and at the nodes of a cluster. */
    private static final Duration CLUSTER_BETWEEN = Duration.ofMillis(100);

    private static final Duration CLOSE_LIMIT = Duration.ofSeconds(5);
    private static final int PROBLEMS_SAID_MAX = 1_000;

    private final FleetSpec fleet;
    private final String cache;
    private final Environment environment;
    private final Consumer<Topology> listener;
    private final FleetSight sight;
    private final @Nullable SwitchNews news;
    private final Semaphore asked = new Semaphore(0);
    private final Thread thread;
    private final Set<String> said = new HashSet<>();
    private volatile @Nullable Topology seen;
    private volatile List<String> problems = List.of();
    private volatile boolean closed;

    private FleetWatch(String cache, FleetSpec fleet, Environment environment, Consumer<Topology> listener) {
        this.cache = cache;
        this.fleet = fleet;
        this.environment = environment;
        this.listener = listener;
        this.sight = FleetSight.of(fleet);
        this.thread = Thread.ofPlatform()
                .daemon()
                .name("watch of fleet " + fleet.name())
                .unstarted(this::watch);
        this.news = fleet.address() instanceof FleetAddress.Sentinel sentinel
                ? new SwitchNews(sentinel, fleet.tls(), this::lookSoon, environment)
                : null;
    }

    /**
     * Begins to watch.
     *
     * @param cache for messages
     * @param listener told of each change, and of the first topology; by the watch's own thread, which waits for it
     */
    public static FleetWatch start(
            String cache, FleetSpec fleet, Environment environment, Consumer<Topology> listener) {
        FleetWatch watch = new FleetWatch(cache, fleet, environment, listener);
        watch.thread.start();
        return watch;
    }

    /** Something may have changed. Returns at once; several that ask in short order are answered by one look. */
    public void lookSoon() {
        if (asked.availablePermits() == 0) {
            asked.release();
        }
    }

    /** The fleet that is watched. */
    public FleetSpec fleet() {
        return fleet;
    }

    /** What was seen last. */
    public Optional<Topology> seen() {
        return Optional.ofNullable(seen);
    }

    /** What was wrong with the fleet at the last look, each a sentence. */
    public List<String> problems() {
        return problems;
    }

    private void watch() {
        boolean isCluster = fleet.address() instanceof FleetAddress.Cluster;
        Duration every = isCluster ? CLUSTER_EVERY : SENTINEL_EVERY;
        Duration between = isCluster ? CLUSTER_BETWEEN : SENTINEL_BETWEEN;
        try {
            while (!closed) {
                lookNow();
                environment.sleep(between);
                var _ = asked.tryAcquire(every.toMillis() - between.toMillis(), TimeUnit.MILLISECONDS);
            }
        } catch (InterruptedException e) {
            // It is closed.
        } finally {
            sight.close();
        }
    }

    private void lookNow() {
        Sighting sighting = sight.look();
        if (closed) {
            return;
        }
        say(sighting);
        Topology now = sighting.topology().orElse(null);
        if (now != null && !now.equals(seen)) {
            Topology before = seen;
            seen = now;
            LOG.info(
                    "cache {}: fleet {} is {}{}",
                    cache,
                    fleet.name(),
                    now,
                    before == null ? "" : ", and was " + before);
            listener.accept(now);
        }
    }

    private void say(Sighting sighting) {
        problems = sighting.problems();
        for (String problem : problems) {
            if (said.size() < PROBLEMS_SAID_MAX && said.add(problem)) {
                LOG.warn("cache {}: fleet {}: {}", cache, fleet.name(), problem);
            }
        }
        if (problems.isEmpty() && !said.isEmpty()) {
            LOG.info("cache {}: nothing is wrong with fleet {} any more", cache, fleet.name());
            said.clear();
        }
    }

    @Override
    public void close() {
        closed = true;
        if (news != null) {
            news.close();
        }
        thread.interrupt();
        try {
            if (!thread.join(CLOSE_LIMIT)) {
                LOG.warn("the watch of fleet {} did not end in time", fleet.name());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
