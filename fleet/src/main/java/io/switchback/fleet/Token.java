package io.switchback.fleet;

import java.util.Comparator;
import java.util.Locale;
import java.util.Optional;

/**
 * Who may change a server's role: the number of a switch, or of the term of a controller, drawn from the ledger once and for ever
 * growing (a fencing token; Kleppmann, "How to do distributed locking"). A server keeps it as a key of its data, from where it
 * reaches its replicas with the stream.
 *
 * <p>A greater number displaces a smaller one and is never displaced by it, and a switch that was closed by an abort displaces the same one
 * while it was open: whoever wakes up late finds a greater token than its own, and is refused by the server itself.
 *
 * @param number of the switch or term
 * @param closed whether the switch was aborted, so that nothing of it may happen any more
 * @param owner the name of the switch or term, for people
 */
public record Token(long number, boolean closed, String owner) implements Comparable<Token> {
    private static final Comparator<Token> ORDER =
            Comparator.comparingLong(Token::number).thenComparing(Token::closed);
    private static final String OPEN = "open";
    private static final String CLOSED = "closed";

    /** The token of a switch or a term that is under way. */
    public static Token open(long number, String owner) {
        return new Token(number, false, owner);
    }

    /** The same, after an abort. */
    public Token close() {
        return new Token(number, true, owner);
    }

    /** Whether whoever has this token gives way to the other one. */
    public boolean isOlderThan(Token other) {
        return compareTo(other) < 0;
    }

    /** As a server keeps it: number, word, name. */
    public String text() {
        return String.format(Locale.ROOT, "%d %s %s", number, closed ? CLOSED : OPEN, owner);
    }

    /** What a server keeps; empty where that is no token, which is older than every token. */
    public static Optional<Token> parse(String text) {
        String[] parts = text.split(" ", 3);
        boolean known = parts.length == 3 && (parts[1].equals(OPEN) || parts[1].equals(CLOSED));
        if (!known || !parts[0].matches("[0-9]{1,18}")) {
            return Optional.empty();
        }
        return Optional.of(new Token(Long.parseLong(parts[0]), parts[1].equals(CLOSED), parts[2]));
    }

    @Override
    public int compareTo(Token other) {
        return ORDER.compare(this, other);
    }

    @Override
    public String toString() {
        return "\"" + text() + "\"";
    }
}
