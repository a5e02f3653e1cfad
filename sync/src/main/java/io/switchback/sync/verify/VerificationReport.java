package io.switchback.sync.verify;

import java.util.List;
import java.util.Map;
import java.util.SortedSet;

/**
 * What was found.
 *
 * @param keysChecked of the source, compared with the target's
 * @param differences the first ones by name; {@code differenceCount} counts all
 * @param keysMoving changed faster than they could be compared; {@code movingKeys} names the first ones
 * @param keysNotComparable by type: of a type that only its own server can read, between servers of different versions
 * @param notes what is not compared because one side cannot say it, or because the servers' own replication does not carry it
 * @param complete false: it was stopped before it was through
 */
public record VerificationReport(
        long keysChecked,
        List<Difference> differences,
        long differenceCount,
        long keysMoving,
        List<String> movingKeys,
        Map<String, Long> keysNotComparable,
        SortedSet<String> notes,
        boolean complete) {
    public VerificationReport {
        differences = List.copyOf(differences);
        movingKeys = List.copyOf(movingKeys);
        keysNotComparable = Map.copyOf(keysNotComparable);
    }

    /** Whether all was compared, and nothing differs. */
    public boolean holds() {
        return complete && differenceCount == 0;
    }
}
