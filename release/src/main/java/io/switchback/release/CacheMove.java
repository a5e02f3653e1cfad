package io.switchback.release;

import io.switchback.sync.CarriedKeys;
import java.util.Optional;

/**
 * One cache that a release moves, and the fleet that it moves to.
 *
 * @param link by which kind of link; empty: what the check finds to be right
 * @param keys which of its keys are carried, and by which names
 */
public record CacheMove(String cache, String to, Optional<LinkKind> link, CarriedKeys keys) {
    /** Of all of its keys, by the link that fits. */
    public CacheMove(String cache, String to) {
        this(cache, to, Optional.empty(), CarriedKeys.ALL);
    }
}
