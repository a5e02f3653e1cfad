package io.switchback.release;

import java.util.Locale;

/**
 * How a link carries one fleet's writes to the other (ARCHITECTURE.md, "Three kinds of link"). In the order of what they ask of the fleets, the most first: fleets
 * that fit one of them fit those behind it.
 */
public enum LinkKind {
    /** The target follows it as it would follow a primary. For single servers. */
    RELAY,
    /** It is a client of the target. For everything else whose stream may be followed. */
    APPLY,
    /** It asks for keys of which the source tells that they change. For servers that nobody may follow; it promises less (docs/scan.md). */
    SCAN;

    /** The name as people write it. */
    public String title() {
        return name().toLowerCase(Locale.ROOT);
    }
}
