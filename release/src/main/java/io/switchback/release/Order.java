package io.switchback.release;

/**
 * What a person asked of a release. Kept in the ledger until the release has acted on it, so that a kill does not lose it.
 *
 * @param kind what to do
 * @param acceptLoss for a rollback whose way back is closed: go without what the old fleet does not have
 * @param who who asked
 * @param taken it is being carried out and cannot be undone: no other order takes its place any more
 */
public record Order(Kind kind, boolean acceptLoss, String who, boolean taken) {
    public Order(Kind kind, boolean acceptLoss, String who) {
        this(kind, acceptLoss, who, false);
    }

    Order asTaken() {
        return new Order(kind, acceptLoss, who, true);
    }

    /** Whether it makes no difference which of the two is carried out. */
    boolean asksTheSameAs(Order other) {
        return kind == other.kind && acceptLoss == other.acceptLoss;
    }

    /** The things that can be asked. */
    public enum Kind {
        PAUSE,
        RESUME,
        ROLLBACK,
        ABORT,
        FINISH;

        /** The name as people write it. */
        public String title() {
            return name().toLowerCase(java.util.Locale.ROOT);
        }
    }
}
