package io.switchback.testkit.load;

/**
 * The data loss probability: items lost over items checked, with a bound that the true one exceeds in one of twenty such
 * samples.
 */
public record LossProbability(long lost, long checked) {
    private static final double ALPHA = 0.05;

    /** Above this many lost, the normal approximation is as good, and the exact sum would take long. */
    private static final long EXACT_LOST_MAX = 10_000;

    private static final double NORMAL_QUANTILE_95 = 1.6448536269514722;
    private static final int BISECTIONS = 100;

    public LossProbability {
        if (lost < 0 || checked < lost) {
            throw new IllegalArgumentException("lost must be between 0 and checked: " + lost + " of " + checked);
        }
    }

    /** Lost over checked; 0 where nothing was checked, though the bound is then 1. */
    public double estimate() {
        return checked == 0 ? 0 : (double) lost / checked;
    }

    /**
     * The upper 95 % confidence bound of Clopper and Pearson (Biometrika 26, 1934): the largest probability under which so few
     * losses as were seen would still come about in 5 % of all samples. With nothing lost, this is about 3 / checked.
     */
    public double upperBound95() {
        if (lost == checked) {
            return 1;
        }
        if (lost == 0) {
            return -Math.expm1(Math.log(ALPHA) / checked);
        }
        if (lost > EXACT_LOST_MAX) {
            double p = estimate();
            return Math.min(1, p + NORMAL_QUANTILE_95 * Math.sqrt(p * (1 - p) / checked));
        }
        double low = estimate();
        double high = 1;
        for (int i = 0; i < BISECTIONS; i++) {
            double middle = (low + high) / 2;
            if (probabilityOfAtMostLost(middle) > ALPHA) {
                low = middle;
            } else {
                high = middle;
            }
        }
        return high;
    }

    /** Of the binomial distribution, summed from logarithms: the single terms may be too small for a double. */
    private double probabilityOfAtMostLost(double p) {
        if (p >= 1) {
            return 0;
        }
        double logOdds = Math.log(p) - Math.log1p(-p);
        double logTerm = checked * Math.log1p(-p);
        double sum = Math.exp(logTerm);
        for (long k = 1; k <= lost; k++) {
            logTerm += Math.log((double) (checked - k + 1)) - Math.log((double) k) + logOdds;
            sum += Math.exp(logTerm);
        }
        return sum;
    }
}
