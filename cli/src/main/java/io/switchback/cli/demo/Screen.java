package io.switchback.cli.demo;

import com.fasterxml.jackson.databind.JsonNode;
import io.switchback.cli.admin.ReleaseView;
import io.switchback.testkit.load.LoadSnapshot;
import java.io.PrintStream;
import java.time.Duration;
import java.util.Locale;

/** What the demo shows: on a terminal one line that is drawn again and again, elsewhere a line for each change. */
final class Screen {
    private static final String CLEAR_LINE = "\r\u001b[2K";

    private final PrintStream out;
    private final boolean terminal;
    private String lastPlace = "";

    Screen(PrintStream out, boolean terminal) {
        this.out = out;
        this.terminal = terminal;
    }

    void title(String text) {
        endLine();
        out.println();
        out.println(text);
        out.println("-".repeat(text.length()));
        lastPlace = "";
    }

    void say(String text) {
        endLine();
        out.println("  " + text);
        lastPlace = "";
    }

    /** Where the release stands, and what the clients have seen between two moments. */
    void show(JsonNode release, LoadSnapshot earlier, LoadSnapshot now) {
        LoadSnapshot lately = now.since(earlier);
        double seconds = Math.max(1e-3, (now.atNanos() - earlier.atNanos()) / 1e9);
        JsonNode cache = release.path("caches").path(0);
        String place = release.path("status").asText() + release.path("step").asText();
        double progress = release.path("progress").asDouble(-1);
        String line = String.format(
                Locale.ROOT,
                "  %-8s %s on %-5s | lag %4d B %3d ms | clients: %5.0f/s, ART %s, p99 %s, errors %d | way back %s",
                word(release.path("step")),
                progress < 0 ? " ".repeat(28) : ReleaseView.bar(progress),
                cache.path("inUse").asText(),
                Math.max(0, cache.path("lagBytes").asLong()),
                Math.max(0, cache.path("lagMillis").asLong()),
                lately.requests() / seconds,
                millis(lately.art()),
                millis(lately.percentile(99)),
                lately.errors(),
                word(cache.path("wayBack")));
        if (terminal) {
            out.print(CLEAR_LINE + line);
            out.flush();
        } else if (!place.equals(lastPlace)) {
            out.println(line);
        }
        lastPlace = place;
    }

    void endLine() {
        if (terminal && !lastPlace.isEmpty()) {
            out.println();
        }
    }

    static String millis(Duration time) {
        return String.format(Locale.ROOT, "%.2f ms", time.toNanos() / 1e6);
    }

    private static String word(JsonNode name) {
        return name.asText().toLowerCase(Locale.ROOT).replace('_', ' ');
    }
}
