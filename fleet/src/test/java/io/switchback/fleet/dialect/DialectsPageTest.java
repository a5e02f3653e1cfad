package io.switchback.fleet.dialect;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.dialect.Option.Missing;
import io.switchback.fleet.dialect.Rule.Carrier;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** The table in docs/dialects.md is the table in the code. */
class DialectsPageTest {
    private static final String START = "<!-- the table, from CommandRules: start -->\n";
    private static final String END = "<!-- the table, from CommandRules: end -->\n";

    /** With -Dswitchback.docs.write=true the page is written anew. */
    @Test
    void thePageShowsTheTableOfTheCode() throws IOException {
        Path page = Path.of("..", "docs", "dialects.md");
        String text = Files.readString(page);
        String before = text.substring(0, text.indexOf(START) + START.length());
        String expected = before + table() + text.substring(text.indexOf(END));
        if (Boolean.getBoolean("switchback.docs.write")) {
            Files.writeString(page, expected);
        }
        assertThat(Files.readString(page)).isEqualTo(expected);
    }

    private static String table() {
        StringBuilder table = new StringBuilder("""
                | command | known since | where it is unknown | options that not all know |
                | --- | --- | --- | --- |
                """);
        for (Rule rule : CommandRules.ALL) {
            table.append("| ")
                    .append(rule.name())
                    .append(" | ")
                    .append(
                            rule.carrier() == Carrier.EFFECTS
                                    ? ""
                                    : rule.since().text())
                    .append(" | ")
                    .append(unknown(rule))
                    .append(" | ")
                    .append(rule.options().stream()
                            .filter(option -> !option.since().equals(Since.ALWAYS))
                            .map(DialectsPageTest::option)
                            .collect(Collectors.joining("; ")))
                    .append(" |\n");
        }
        return table.toString();
    }

    private static String unknown(Rule rule) {
        if (rule.carrier() == Carrier.EFFECTS) {
            return "comes down the stream as other commands";
        }
        boolean never = rule.since().equals(Since.ALWAYS) && rule.rewriting() == Rewriting.NONE;
        return never ? "" : rule.rewriting().description();
    }

    private static String option(Option option) {
        String missing = option.missing() == Missing.REFUSED
                ? "refused"
                : option.missing() == Missing.DROPPED ? "left out" : "carried";
        return option.name() + " (" + option.since().text() + "): " + missing;
    }
}
