package io.switchback.bench;

import java.util.List;
import java.util.Locale;
import java.util.function.ToDoubleFunction;

/** What is said of several measurements of one kind. */
record Spread(double median, double worst) {
    /** Of at least one; the greatest is the worst. */
    static <T> Spread of(List<T> measured, ToDoubleFunction<T> figure) {
        double[] sorted = measured.stream().mapToDouble(figure).sorted().toArray();
        return new Spread(sorted[sorted.length / 2], sorted[sorted.length - 1]);
    }

    @Override
    public String toString() {
        return String.format(Locale.ROOT, "%.1f / %.1f", median, worst);
    }
}
