package io.switchback.fleet.dialect;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/** One line of write-commands.txt: commands that are run on a real source, to see what comes down its stream. */
record Scenario(int number, String text) {

    static List<Scenario> all() {
        try (InputStream file = Objects.requireNonNull(Scenario.class.getResourceAsStream("write-commands.txt"))) {
            List<Scenario> scenarios = new ArrayList<>();
            for (String line :
                    new String(file.readAllBytes(), ISO_8859_1).lines().toList()) {
                if (!line.isBlank() && !line.startsWith("#")) {
                    scenarios.add(new Scenario(scenarios.size(), line));
                }
            }
            return scenarios;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** What all keys of this scenario begin with. */
    String keyPrefix() {
        return "s" + number + ":";
    }

    List<String> commands() {
        return List.of(text.split(" ; "));
    }
}
