package io.switchback.server;

import io.switchback.proxy.BigKey;
import io.switchback.proxy.CacheProxy;
import io.switchback.proxy.FleetTraffic;
import io.switchback.proxy.HotKey;
import io.switchback.proxy.KeyReport;
import io.switchback.proxy.MemoryCounts;
import io.switchback.proxy.ProxyLoad;
import io.switchback.proxy.ReplicaCounts;
import io.switchback.release.ManagedCache;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.function.ToLongFunction;
import org.jspecify.annotations.Nullable;

/**
 * What a node can be watched by, in the text format that Prometheus reads. Names end in their unit; what only grows, since the node
 * started, ends in {@code _total}. Source: https://prometheus.io/docs/instrumenting/exposition_formats/.
 */
final class MetricsPage {
    static final String CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

    private static final double[] QUANTILES = {0.5, 0.9, 0.99, 0.999};
    /** So many of a cache's keys have a line of their own. */
    private static final int KEY_RANKS = 10;

    private static final double MICROS_PER_SECOND = 1e6;
    private static final double NANOS_PER_SECOND = 1e9;

    private final StringBuilder page = new StringBuilder();

    private record Sample(
            String cache,
            CacheProxy proxy,
            ProxyLoad load,
            MemoryCounts memory,
            ReplicaCounts replicas,
            KeyReport keys,
            TreeMap<String, FleetTraffic> fleets) {
        static Sample of(ManagedCache cache) {
            CacheProxy proxy = cache.proxy();
            TreeMap<String, FleetTraffic> fleets = new TreeMap<>();
            cache.fleets()
                    .keySet()
                    .forEach(fleet -> fleets.put(fleet, proxy.traffic().of(fleet)));
            return new Sample(
                    cache.name(),
                    proxy,
                    proxy.load(),
                    proxy.memoryCounts(),
                    proxy.replicaCounts(),
                    proxy.keys(),
                    fleets);
        }
    }

    private MetricsPage() {}

    static String of(Collection<ManagedCache> caches) {
        Collection<Sample> samples = caches.stream().map(Sample::of).toList();
        MetricsPage metrics = new MetricsPage();
        metrics.loads(samples);
        metrics.memories(samples);
        metrics.replicas(samples);
        metrics.keys(samples);
        metrics.fleets(samples);
        return metrics.page.toString();
    }

    private void loads(Collection<Sample> samples) {
        each(samples, "clients", "gauge", "Connections of clients.", load -> load.clients());
        each(
                samples,
                "commands_unanswered",
                "gauge",
                "Commands that were sent and are not answered.",
                load -> load.commandsUnanswered());
        each(samples, "server_connections", "gauge", "Connections to servers.", load -> load.serverConnections());
        each(
                samples,
                "receiving_bytes",
                "gauge",
                "Commands that have not come in whole.",
                load -> load.receivingBytes());
        each(
                samples,
                "large_commands",
                "gauge",
                "Commands that are passed on as they come.",
                load -> load.largeCommands());
        head("route_epoch", "gauge", "Grows by one with each switch; the fleet is the one in use.");
        for (Sample sample : samples) {
            line(
                    "route_epoch",
                    sample.proxy.route().epoch(),
                    sample.cache,
                    "fleet",
                    sample.proxy.route().fleet().name());
        }
        head("limit_reached_total", "counter", "How often a limit of docs/limits.md was met.");
        for (Sample sample : samples) {
            new TreeMap<>(sample.load.limitsReached())
                    .forEach(
                            (limit, times) -> line("limit_reached_total", times, sample.cache, "limit", limit.title()));
        }
    }

    private void memories(Collection<Sample> samples) {
        memory(samples, "hits_total", "counter", "Reads that were answered from memory.", MemoryCounts::hits);
        memory(
                samples,
                "hit_bytes_total",
                "counter",
                "Bytes of answers from memory, which the fleet was spared.",
                MemoryCounts::hitBytes);
        memory(samples, "misses_total", "counter", "Reads that asked the fleet, to be kept.", MemoryCounts::misses);
        memory(
                samples,
                "joined_total",
                "counter",
                "Reads that waited for another client's, since they asked the same.",
                MemoryCounts::joined);
        memory(
                samples,
                "invalidations_total",
                "counter",
                "Keys that a server said are not so any more.",
                MemoryCounts::invalidations);
        memory(samples, "bytes", "gauge", "Answers that are kept, with what they take beside.", MemoryCounts::bytes);
        memory(samples, "keys", "gauge", "Keys of which something is kept.", MemoryCounts::keys);
    }

    /** By their rank: names of keys would be as many series as there are keys, and are not everybody's to read. */
    private void keys(Collection<Sample> samples) {
        head("hot_key_requests_per_second", "gauge", "Commands that name the hottest keys, lately.");
        for (Sample sample : samples) {
            List<HotKey> hot = sample.keys.hot();
            for (int rank = 1; rank <= Math.min(KEY_RANKS, hot.size()); rank++) {
                line(
                        "hot_key_requests_per_second",
                        hot.get(rank - 1).requestsPerSecond(),
                        sample.cache,
                        "rank",
                        Integer.toString(rank));
            }
        }
        head("big_key_bytes", "gauge", "The largest commands and replies that are about one key, lately.");
        for (Sample sample : samples) {
            List<BigKey> big = sample.keys.big();
            for (int rank = 1; rank <= Math.min(KEY_RANKS, big.size()); rank++) {
                line("big_key_bytes", big.get(rank - 1).bytes(), sample.cache, "rank", Integer.toString(rank));
            }
        }
    }

    private void memory(
            Collection<Sample> samples, String name, String type, String help, ToLongFunction<MemoryCounts> value) {
        head("memory_" + name, type, help);
        samples.forEach(sample -> line("memory_" + name, value.applyAsLong(sample.memory), sample.cache));
    }

    private void replicas(Collection<Sample> samples) {
        head(
                "reads_at_primary_total",
                "counter",
                "Reads that a replica might have answered: own, since none was known to have what the client had written or read; none, since none"
                        + " was of use.");
        for (Sample sample : samples) {
            line("reads_at_primary_total", sample.replicas.atPrimaryForOwn(), sample.cache, "why", "own");
            line("reads_at_primary_total", sample.replicas.atPrimaryForNone(), sample.cache, "why", "none");
        }
        replica(samples, "reads_total", "counter", "Reads that the replica has answered.", one -> one.reads());
        replica(
                samples,
                "reads_asked_again_total",
                "counter",
                "Reads that it was sent and that the primary has answered: after an error, too late, or on a connection that broke.",
                one -> one.askedAgain());
        replica(
                samples,
                "ejections_total",
                "counter",
                "How often it was left out for being slow or not to be reached.",
                one -> one.ejections());
        replica(samples, "in_use", "gauge", "1 where reads go to it.", one -> one.isInUse() ? 1 : 0);
        replica(
                samples,
                "lag_seconds",
                "gauge",
                "How long ago it was last known to have everything; not there where that is not known.",
                one -> one.lag().map(lag -> lag.toNanos() / NANOS_PER_SECOND).orElse(null));
    }

    private void replica(
            Collection<Sample> samples,
            String name,
            String type,
            String help,
            Function<ReplicaCounts.One, @Nullable Number> value) {
        head("replica_" + name, type, help);
        for (Sample sample : samples) {
            sample.replicas.replicas().entrySet().stream()
                    .sorted(Comparator.comparing(entry -> entry.getKey().toString()))
                    .forEach(entry -> {
                        Number known = value.apply(entry.getValue());
                        if (known != null) {
                            line(
                                    "replica_" + name,
                                    known,
                                    sample.cache,
                                    "replica",
                                    entry.getKey().toString());
                        }
                    });
        }
    }

    private void fleets(Collection<Sample> samples) {
        head("requests_total", "counter", "Commands that were answered.");
        for (Sample sample : samples) {
            sample.fleets.forEach(
                    (fleet, traffic) -> line("requests_total", traffic.requests(), sample.cache, "fleet", fleet));
        }
        head("request_errors_total", "counter", "Commands that were answered by an error.");
        for (Sample sample : samples) {
            sample.fleets.forEach(
                    (fleet, traffic) -> line("request_errors_total", traffic.errors(), sample.cache, "fleet", fleet));
        }
        head("request_seconds", "summary", "From sending a command to the end of its reply.");
        for (Sample sample : samples) {
            sample.fleets.forEach((fleet, traffic) -> {
                for (double quantile : QUANTILES) {
                    double micros = traffic.latencyMicros().getValueAtPercentile(quantile * 100);
                    line(
                            "request_seconds",
                            micros / MICROS_PER_SECOND,
                            sample.cache,
                            "fleet",
                            fleet,
                            "quantile",
                            Double.toString(quantile));
                }
                line("request_seconds_sum", traffic.sumNanos() / NANOS_PER_SECOND, sample.cache, "fleet", fleet);
                line("request_seconds_count", traffic.latencyMicros().getTotalCount(), sample.cache, "fleet", fleet);
            });
        }
    }

    private void each(
            Collection<Sample> samples, String name, String type, String help, ToLongFunction<ProxyLoad> value) {
        head(name, type, help);
        samples.forEach(sample -> line(name, value.applyAsLong(sample.load), sample.cache));
    }

    private void head(String name, String type, String help) {
        page.append("# HELP switchback_").append(name).append(' ').append(help).append('\n');
        page.append("# TYPE switchback_").append(name).append(' ').append(type).append('\n');
    }

    /** {@code labels}: names and values in turn. The names of caches and fleets have nothing in them that would have to be escaped. */
    private void line(String name, Number value, String cache, String... labels) {
        page.append("switchback_")
                .append(name)
                .append("{cache=\"")
                .append(cache)
                .append('"');
        for (int i = 0; i < labels.length; i += 2) {
            page.append(',')
                    .append(labels[i])
                    .append("=\"")
                    .append(labels[i + 1])
                    .append('"');
        }
        page.append("} ");
        page.append(value instanceof Double fraction ? String.format(Locale.ROOT, "%.6f", fraction) : value);
        page.append('\n');
    }
}
