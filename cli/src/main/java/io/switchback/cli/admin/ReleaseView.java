package io.switchback.cli.admin;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** A release's status as a person reads it. */
public final class ReleaseView {
    private static final int BAR_CELLS = 20;

    private ReleaseView() {}

    /** One line: state, step, progress, what it does. */
    public static String line(JsonNode status) {
        String state = word(status.path("status"));
        String step = word(status.path("step"));
        double progress = status.path("progress").asDouble(-1);
        return String.format(
                Locale.ROOT,
                "%-20s %-11s %-8s %s %s",
                status.path("release").asText(),
                state,
                step,
                progress < 0 ? "" : bar(progress),
                status.path("detail").asText());
    }

    public static String bar(double progress) {
        int full = (int) Math.round(Math.min(1, Math.max(0, progress)) * BAR_CELLS);
        return "[" + "#".repeat(full) + ".".repeat(BAR_CELLS - full) + "] "
                + String.format(Locale.ROOT, "%3.0f %%", progress * 100);
    }

    /** Everything that the status tells. */
    public static void print(PrintStream out, JsonNode status) {
        out.println(line(status));
        for (JsonNode cache : status.path("caches")) {
            out.println("  cache " + cache.path("cache").asText() + ": "
                    + cache.path("from").asText() + " -> " + cache.path("to").asText() + ", in use: "
                    + cache.path("inUse").asText());
            out.println("    link " + cache.path("link").asText() + lag(cache) + ", way back: " + wayBack(cache));
            if (cache.path("choice").isObject()) {
                out.println("    links   " + word(cache.path("choice").path("kind")) + ": "
                        + cache.path("choice").path("because").asText());
            }
            out.println("    before  " + answers(cache.path("before")));
            out.println("    now     " + answers(cache.path("now")));
            if (cache.path("backup").isTextual()) {
                out.println("    backup  " + cache.path("backup").asText());
            }
        }
        for (JsonNode gate : status.path("gates")) {
            out.println("  gate " + gate.path("gate").asText() + ": " + word(gate.path("outcome")) + ", "
                    + gate.path("text").asText());
        }
        for (int i = 0; i < status.path("switches").size(); i++) {
            out.println("  " + switched(status, i));
        }
        status.path("warnings").forEach(warning -> out.println("  warning: " + warning.asText()));
    }

    /** One switch: which way, with what outcome, and for how long clients were held. */
    public static String switched(JsonNode status, int index) {
        JsonNode one = status.path("switches").path(index);
        boolean forward = one.path("to").asText().equals("NEW");
        List<String> fleets = new ArrayList<>();
        status.path("caches")
                .forEach(cache -> fleets.add(cache.path(forward ? "to" : "from").asText()));
        boolean committed = one.path("verdict").asText().equals("commit");
        String reason = one.path("reason").asText();
        return String.format(
                Locale.ROOT,
                "switch %s: %s %s, clients held %.1f ms%s",
                one.path("id").asText(),
                committed ? "all traffic is on" : "given up, traffic stays where it was, not on",
                String.join(", ", fleets),
                one.path("heldMillis").asDouble(),
                committed || reason.isEmpty() ? "" : ": " + reason);
    }

    private static String lag(JsonNode cache) {
        long bytes = cache.path("lagBytes").asLong(-1);
        long millis = cache.path("lagMillis").asLong(-1);
        if (bytes < 0) {
            boolean scans = cache.path("choice").path("kind").asText().equals("SCAN"); // which counts no bytes
            return scans && millis >= 0 ? ", " + millis + " ms behind" : "";
        }
        return ", " + bytes + " bytes, " + millis + " ms behind";
    }

    private static String wayBack(JsonNode cache) {
        String why = cache.path("wayBackDetail").asText();
        return word(cache.path("wayBack")) + (why.isEmpty() ? "" : ": " + why);
    }

    private static String answers(JsonNode measured) {
        return measured.path("samples").asLong() == 0
                ? "nothing measured"
                : String.format(
                        Locale.ROOT,
                        "ART %.0f us, p99 %d us, errors %.3f %%, %d requests",
                        measured.path("artMicros").asDouble(),
                        measured.path("p99Micros").asLong(),
                        measured.path("errorRate").asDouble() * 100,
                        measured.path("samples").asLong());
    }

    private static String word(JsonNode name) {
        return name.asText().toLowerCase(Locale.ROOT).replace('_', ' ');
    }
}
