package io.switchback.commit;

/**
 * One attempt of one switch, forward or back. Its text form names it in the decision register.
 *
 * @param release that it belongs to
 * @param number drawn from the ledger for this attempt alone, greater than all before it, of whatever release: what is of a smaller
 *     number than something that has ended is itself over
 */
public record SwitchId(String release, long number) {
    public SwitchId {
        if (release.isBlank() || number < 1) {
            throw new IllegalArgumentException(
                    "a switch has a release and a number from 1, not \"" + release + "\" and " + number);
        }
    }

    @Override
    public String toString() {
        return release + "." + number;
    }
}
