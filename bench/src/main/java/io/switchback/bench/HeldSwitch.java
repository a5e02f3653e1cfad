package io.switchback.bench;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Locale;

/**
 * For how long one switch held clients, and what for; all in milliseconds. What the leader of the switch does, it does while every node
 * holds; so what is left of the time that a node held went to nodes, from its own hold to the last vote, and from the word to let
 * go until it had.
 *
 * @param to the side that it moved the clients to
 * @param held of the node that held for the longest, as it saw it: from the first command that was parked to the last that was let go
 * @param nodes what of {@code held} went to holding, voting and letting go
 * @param drain until the link's target has all that the fleet in use had written
 * @param servers the fleet in use fenced, the link at rest, the other fleet promoted
 * @param ledger the decision
 * @param rest of {@code held}: in none of them
 * @param asked from the leader's first question to the last vote
 * @param told from the leader's first word to let go to the last acknowledgement, for which a node writes its log when clients are served
 */
record HeldSwitch(
        String to,
        double held,
        double nodes,
        double drain,
        double servers,
        double ledger,
        double rest,
        double asked,
        double told) {

    /** What a release's status shows of it. */
    static HeldSwitch of(JsonNode shown) {
        JsonNode took = shown.path("tookMillis");
        double held = shown.path("heldMillis").asDouble();
        double asked = sum(took, "hold");
        double drain = sum(took, "drain");
        double servers = sum(took, "fence", "freeze", "promote");
        double ledger = sum(took, "decide");
        double told = sum(took, "let go");
        double left = held - drain - servers - ledger;
        double nodes = Math.min(left, asked + told);
        return new HeldSwitch(
                shown.path("to").asText(), held, nodes, drain, servers, ledger, left - nodes, asked, told);
    }

    private static double sum(JsonNode took, String... parts) {
        double sum = 0;
        for (String part : parts) {
            if (!took.has(part)) {
                throw new IllegalStateException("the switch does not say how long \"" + part + "\" took: " + took);
            }
            sum += took.path(part).asDouble();
        }
        return sum;
    }

    @Override
    public String toString() {
        return String.format(
                Locale.ROOT,
                "to %s: held %.1f ms; nodes %.1f, drain %.1f, servers %.1f, ledger %.1f, rest %.1f; asked %.1f, told %.1f",
                to,
                held,
                nodes,
                drain,
                servers,
                ledger,
                rest,
                asked,
                told);
    }
}
