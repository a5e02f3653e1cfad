package io.switchback.testkit.load;

import java.util.List;

/**
 * Whether what the clients were told is true.
 *
 * @param acknowledged writes that were acknowledged, over the whole run
 * @param checked those of them that can still be looked up: the last write of each key, every increment, every element of a list
 * @param found those of the checked that are there
 * @param lost those of the checked that are not
 * @param twice increments and elements that are there more often than they were asked for
 * @param outOfOrder elements of lists that stand before one that was appended earlier
 * @param cameBack deleted keys that are there again
 * @param staleReads reads during the run that did not show the client's own last write
 * @param wrongReplies replies during the run that no server gives to that command
 * @param unknown writes of which it is not known whether they were executed: lost connections, time-outs, errors; they may be
 *     there or not
 * @param examples of what is wrong, a few of each
 */
public record CheckReport(
        long acknowledged,
        long checked,
        long found,
        long lost,
        long twice,
        long outOfOrder,
        long cameBack,
        long staleReads,
        long wrongReplies,
        long unknown,
        List<String> examples) {

    /** Whether nothing at all is wrong. */
    public boolean clean() {
        return lost == 0 && twice == 0 && outOfOrder == 0 && cameBack == 0 && staleReads == 0 && wrongReplies == 0;
    }

    /** The data loss probability. */
    public LossProbability lossProbability() {
        return new LossProbability(lost, checked);
    }

    @Override
    public String toString() {
        return "acknowledged " + acknowledged + ", checked " + checked + ", found " + found + ", lost " + lost
                + ", twice "
                + twice + ", out of order " + outOfOrder + ", came back " + cameBack + ", stale reads " + staleReads
                + ", wrong replies " + wrongReplies + ", unknown " + unknown
                + (examples.isEmpty() ? "" : "; " + String.join("; ", examples));
    }
}
