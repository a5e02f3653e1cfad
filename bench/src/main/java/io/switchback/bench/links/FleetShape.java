package io.switchback.bench.links;

/**
 * What a side of a round is.
 *
 * @param primaries 1: no cluster
 * @param watched a primary with a replica, under three sentinels
 */
record FleetShape(int primaries, boolean watched) {
    private static final String WATCHED = "s";

    /** A number of primaries, or {@link #WATCHED}. */
    static FleetShape of(String word) {
        return word.equals(WATCHED) ? new FleetShape(1, true) : new FleetShape(Integer.parseInt(word), false);
    }

    boolean isCluster() {
        return primaries > 1;
    }

    /** Behind the name of its servers; "" for one server. */
    @Override
    public String toString() {
        return watched ? " under sentinels" : isCluster() ? " cluster of " + primaries : "";
    }
}
