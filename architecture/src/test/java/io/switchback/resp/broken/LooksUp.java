package io.switchback.resp.broken;

import io.switchback.config.ConfigException;
import io.switchback.fleet.Endpoint;

/** Knows a room above and a room beside its own. */
public final class LooksUp {
    static String up(Endpoint endpoint) {
        return endpoint.toString();
    }

    static String sideways(ConfigException problem) {
        return String.valueOf(problem.getMessage());
    }
}
