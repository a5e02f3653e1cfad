package io.switchback.testkit;

import java.util.List;
import org.opentest4j.TestAbortedException;

/** Servers by name for a test that is skipped where they are not there. For use by tests only: it needs JUnit. */
public final class Servers {
    private Servers() {}

    /** The server of that name; where there is none, the test is skipped with a message that says how to get it. */
    public static ServerBinary require(String name) {
        return ServerBinary.named(name).orElseThrow(() -> new TestAbortedException(skipMessage(List.of(name))));
    }

    static List<String> missing(List<String> names) {
        return names.stream().filter(name -> ServerBinary.named(name).isEmpty()).toList();
    }

    static String skipMessage(List<String> missing) {
        return "skipped: needs " + String.join(", ", missing)
                + ", not found on this machine; fetch with: scripts/fetch-servers " + String.join(" ", missing);
    }
}
