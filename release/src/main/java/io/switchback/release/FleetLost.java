package io.switchback.release;

import io.switchback.release.ReleaseState.Side;
import java.util.Map;

/** The fleet in use has died; never leaves {@link ReleaseRun}. */
final class FleetLost extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final Side inUse;
    private final transient Map<String, String> caches;
    private final boolean isAccepted;

    /**
     * @param inUse where clients are, or will be once the switch that is under way is over
     * @param caches whose fleet there is dead, with how that was found
     * @param isAccepted whether that is a person's word, who accepts the loss, and not what all nodes have found
     */
    FleetLost(Side inUse, Map<String, String> caches, boolean isAccepted) {
        super(String.join("; ", caches.values()));
        this.inUse = inUse;
        this.caches = Map.copyOf(caches);
        this.isAccepted = isAccepted;
    }

    boolean isAccepted() {
        return isAccepted;
    }

    Side inUse() {
        return inUse;
    }

    Map<String, String> caches() {
        return caches;
    }
}
