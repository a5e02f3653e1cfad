package io.switchback.proxy;

import io.switchback.fleet.Endpoint;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;

/**
 * Reading from replicas, where a cache wants it.
 *
 * @param lagMax how far behind its primary a replica may be that answers
 * @param withoutPrimary for so much longer replicas answer while their primary does not
 * @param ejectedMax the share of the replicas, from 0 to 1, that may be left out for being slow
 * @param zone where this node is; replicas of the same zone are preferred
 * @param zones where replicas are, as far as that is known
 */
public record ReplicaSettings(
        Duration lagMax,
        Duration withoutPrimary,
        double ejectedMax,
        Optional<String> zone,
        Map<Endpoint, String> zones) {
    /** What a person does not notice, and a replica keeps to unless something is wrong. */
    public static final Duration LAG_MAX_DEFAULT = Duration.ofSeconds(1);

    /** Of two replicas one. */
    public static final double EJECTED_MAX_DEFAULT = 0.5;

    public ReplicaSettings {
        zones = Map.copyOf(zones);
    }

    /** With that lag, and everything else as it is where the file says nothing. */
    public static ReplicaSettings of(Duration lagMax) {
        return new ReplicaSettings(lagMax, Duration.ZERO, EJECTED_MAX_DEFAULT, Optional.empty(), Map.of());
    }
}
