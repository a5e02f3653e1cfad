package io.switchback.release;

import io.switchback.sync.CarriedKeys;

/**
 * One cache that a release moves, and the fleet that it moves to.
 *
 * @param keys which of its keys are carried, and by which names
 */
public record CacheMove(String cache, String to, CarriedKeys keys) {
    /** Of all of its keys. */
    public CacheMove(String cache, String to) {
        this(cache, to, CarriedKeys.ALL);
    }
}
