package io.switchback.fleet;

import io.switchback.resp.Reply;
import java.util.HashMap;
import java.util.Map;

/** What a server said in answer to INFO: names and values, section headings left out. Immutable. */
public final class InfoReport {
    private final String from;
    private final Map<String, String> values;

    private InfoReport(String from, Map<String, String> values) {
        this.from = from;
        this.values = values;
    }

    /** Asks for one section. (Servers before 7.0 take no more than one.) */
    public static InfoReport read(ServerConnection connection, String section) {
        return parse(connection.endpoint().toString(), connection.demand("INFO", section));
    }

    /** Asks for what the server shows by default. */
    public static InfoReport read(ServerConnection connection) {
        return parse(connection.endpoint().toString(), connection.demand("INFO"));
    }

    /** Reads a reply to INFO; {@code from} names the server in messages. */
    public static InfoReport parse(String from, Reply reply) {
        Map<String, String> values = new HashMap<>();
        reply.text().lines().forEach(line -> {
            int colon = line.indexOf(':');
            if (colon > 0 && line.charAt(0) != '#') {
                values.put(line.substring(0, colon), line.substring(colon + 1));
            }
        });
        return new InfoReport(from, Map.copyOf(values));
    }

    /** Whether the server says anything about it. */
    public boolean has(String name) {
        return values.containsKey(name);
    }

    /** The value as text; a {@link FleetException} where the server does not say. */
    public String text(String name) {
        String value = values.get(name);
        if (value == null) {
            throw new FleetException(
                    FleetException.Code.REFUSED,
                    from + " does not say " + name + " in INFO; is it a Redis or Valkey server?");
        }
        return value;
    }

    /** The value as text, or {@code fallback} where the server does not say. */
    public String text(String name, String fallback) {
        return values.getOrDefault(name, fallback);
    }

    /** The value as a number. */
    public long number(String name) {
        String text = text(name);
        try {
            return Long.parseLong(text);
        } catch (NumberFormatException e) {
            throw new FleetException(
                    FleetException.Code.REFUSED,
                    from + " says " + name + ":" + text + " in INFO, expected a number",
                    e);
        }
    }

    /** The value as a number, or {@code fallback} where the server does not say. */
    public long number(String name, long fallback) {
        return has(name) ? number(name) : fallback;
    }
}
