package io.switchback.cli.demo;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.switchback.testkit.load.CheckReport;
import io.switchback.testkit.load.LoadSnapshot;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.Locale;

/** The demo's figures, as a table for people and as JSON for programs: the same ones. */
final class Figures {
    private static final ObjectMapper JSON = new ObjectMapper();

    private Figures() {}

    static void print(PrintStream out, Demo.Outcome outcome) {
        LoadSnapshot total = outcome.total();
        CheckReport check = outcome.check();
        out.println();
        row(
                out,
                "from, to",
                outcome.servers().old().name() + ", "
                        + outcome.servers().fresh().name());
        row(out, "requests", Long.toString(total.requests()));
        row(out, "errors", Long.toString(total.errors()));
        row(out, "connections lost", Long.toString(total.reconnects()));
        row(out, "ART", Screen.millis(total.art()));
        row(out, "p99", Screen.millis(total.percentile(99)));
        for (Demo.SwitchSeen one : outcome.switches()) {
            row(
                    out,
                    "act " + one.act() + ", switch to " + one.to(),
                    String.format(
                            Locale.ROOT,
                            "held %.1f ms; longest wait of a client around it %.1f ms",
                            one.heldMillis(),
                            one.longestPauseMillis()));
        }
        row(
                out,
                "longest wait elsewhere",
                String.format(Locale.ROOT, "%.1f ms", outcome.longestPauseElsewhereMillis()));
        row(out, "writes acknowledged", Long.toString(total.acknowledgedWrites()));
        row(
                out,
                "items checked, found",
                check.checked() + ", "
                        + (check.checked() - check.lossProbability().lost()));
        row(out, "applied twice", Long.toString(check.twice()));
        row(out, "stale reads", Long.toString(check.staleReads()));
        row(
                out,
                "DLP",
                String.format(
                        Locale.ROOT,
                        "%d of %d; below %.1e with 95 %% confidence",
                        check.lossProbability().lost(),
                        check.checked(),
                        check.lossProbability().upperBound95()));
        check.examples().forEach(example -> out.println("    " + example));
        out.println();
        out.println(
                outcome.clean()
                        ? "Nothing was lost, and nobody noticed more than a pause."
                        : "SOMETHING WAS LOST OR NOTICED.");
    }

    private static void row(PrintStream out, String name, String value) {
        out.printf(Locale.ROOT, "  %-26s %s%n", name, value);
    }

    static void write(Path file, Demo.Outcome outcome) throws IOException {
        ObjectNode json = JSON.createObjectNode();
        json.put("clean", outcome.clean());
        json.put("from", outcome.servers().old().name());
        json.put("to", outcome.servers().fresh().name());
        LoadSnapshot total = outcome.total();
        json.put("requests", total.requests());
        json.put("errors", total.errors());
        json.put("connectionsLost", total.reconnects());
        json.put("artMicros", total.art().toNanos() / 1000.0);
        json.put("p99Micros", total.percentile(99).toNanos() / 1000.0);
        ArrayNode switches = json.putArray("switches");
        for (Demo.SwitchSeen one : outcome.switches()) {
            switches.addObject()
                    .put("act", one.act())
                    .put("to", one.to())
                    .put("heldMillis", one.heldMillis())
                    .put("longestWaitMillis", one.longestPauseMillis())
                    .put("errors", one.errors());
        }
        json.put("longestWaitElsewhereMillis", outcome.longestPauseElsewhereMillis());
        json.put("writesAcknowledged", total.acknowledgedWrites());
        CheckReport check = outcome.check();
        json.put("itemsChecked", check.checked());
        json.put("itemsLost", check.lossProbability().lost());
        json.put("appliedTwice", check.twice());
        json.put("staleReads", check.staleReads());
        json.put("dlp", check.lossProbability().estimate());
        json.put("dlpUpperBound95", check.lossProbability().upperBound95());
        json.set("release", outcome.release());
        JSON.writerWithDefaultPrettyPrinter().writeValue(file.toFile(), json);
    }
}
