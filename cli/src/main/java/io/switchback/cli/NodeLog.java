package io.switchback.cli;

import java.util.List;
import java.util.logging.Level;
import java.util.logging.Logger;

/**
 * How a node's log looks where nobody has configured it ({@code java.util.logging.config.file}): one line for each entry, and libraries
 * speak of mistakes only; that a ledger cannot be reached the node says itself, once in a while and not with every attempt.
 */
final class NodeLog {
    private static final String FORMAT = "%1$tF %1$tT.%1$tL %4$s %5$s%6$s%n";
    /** Kept, since otherwise they and their levels could be collected. */
    private static final List<Logger> LIBRARIES =
            List.of(Logger.getLogger("org.apache.zookeeper"), Logger.getLogger("org.apache.curator"));

    private NodeLog() {}

    /** Before the first entry is written. */
    static void setUp() {
        if (System.getProperty("java.util.logging.config.file") == null
                && System.getProperty("java.util.logging.config.class") == null) {
            System.setProperty("java.util.logging.SimpleFormatter.format", FORMAT);
            LIBRARIES.forEach(library -> library.setLevel(Level.SEVERE));
        }
    }
}
