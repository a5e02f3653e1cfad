package io.switchback.simulation;

import java.util.List;
import java.util.stream.Collectors;

/** Events, states and actions in few words, for a trace. */
final class Words {
    private Words() {}

    static String of(Object one) {
        String text = one.toString();
        int bracket = text.indexOf('[');
        String name = bracket < 0 ? text : text.substring(0, bracket);
        for (String verdict : List.of("COMMIT", "ABORT")) {
            if (text.contains("=" + verdict)) {
                return name + " " + verdict;
            }
        }
        return name;
    }

    static String of(List<?> actions) {
        return actions.isEmpty() ? "" : actions.stream().map(Words::of).collect(Collectors.joining(", ", ": ", ""));
    }
}
