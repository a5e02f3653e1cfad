package io.switchback.fleet;

import io.switchback.resp.Reply;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/**
 * Changes of a server's settings that remember what was there, so that it can be put back: {@link #plan} (write it down),
 * {@link #apply}, and in the end {@link #restore}. Each may be repeated after a break.
 */
public final class ServerSettings {
    private static final Set<String> SECRET = Set.of("masterauth", "requirepass");
    /** More than anybody has. */
    private static final int DATABASES_MAX = 1024 * 1024;

    private static final String BUFFER_LIMITS = "client-output-buffer-limit";

    private ServerSettings() {}

    /**
     * One setting, what it was, and what it is while Switchback needs it; both in the server's own form, as CONFIG GET shows
     * them. The text form hides passwords.
     */
    public record Setting(String name, String before, String during) {
        @Override
        public String toString() {
            return SECRET.contains(name) ? name + " (hidden)" : name + " " + before + " -> " + during;
        }
    }

    /** The value of one setting; a {@link FleetException} where the server has no such setting or does not show it. */
    public static String read(ServerConnection connection, String name) {
        Reply reply = connection.demand("CONFIG", "GET", name);
        if (reply instanceof Reply.Array(List<Reply> elements) && elements.size() == 2) {
            return elements.get(1).text();
        }
        throw new FleetException(
                FleetException.Code.REFUSED, connection.endpoint() + " has no setting \"" + name + "\" (CONFIG GET)");
    }

    /** The value of one setting, or {@code fallback} where this user may not ask for it, as managed services let nobody. */
    public static String read(ServerConnection connection, String name, String fallback) {
        Reply reply = connection.call("CONFIG", "GET", name);
        return reply instanceof Reply.Array(List<Reply> elements) && elements.size() == 2
                ? elements.get(1).text()
                : fallback;
    }

    /** How many databases SELECT accepts; where the server does not say, it is tried. */
    public static int databases(ServerConnection connection) {
        String said = read(connection, "databases", "");
        if (!said.isEmpty()) {
            return Integer.parseInt(said);
        }
        int accepted = 0; // the greatest that is known to be there
        int refused = DATABASES_MAX; // the least that is known not to be
        while (refused - accepted > 1) {
            int middle = accepted + (refused - accepted) / 2;
            if (connection.call("SELECT", Integer.toString(middle)).isError()) {
                refused = middle;
            } else {
                accepted = middle;
            }
        }
        connection.demand("SELECT", "0");
        return accepted + 1;
    }

    /** What would have to change so that every wanted value is there; what is so already is left out. Changes nothing. */
    public static List<Setting> plan(ServerConnection connection, Map<String, String> wanted) {
        List<Setting> settings = new ArrayList<>();
        wanted.forEach((name, value) -> {
            String before = read(connection, name);
            String during = asShown(name, before, value);
            if (!before.equals(during)) {
                settings.add(new Setting(name, before, during));
            }
        });
        return List.copyOf(settings);
    }

    /** Sets every setting to its value during the release, and writes the server's config file where it has one. */
    public static void apply(ServerConnection connection, List<Setting> settings) {
        settings.forEach(setting -> set(connection, setting, setting.during()));
        if (!settings.isEmpty()) {
            makeLasting(connection);
        }
    }

    /**
     * Puts every setting back. One that somebody has changed meanwhile is theirs, and is left alone.
     *
     * @return what was left alone, as sentences for the journal
     */
    public static List<String> restore(ServerConnection connection, List<Setting> settings) {
        List<String> leftAlone = new ArrayList<>();
        for (Setting setting : settings) {
            String now = read(connection, setting.name());
            if (now.equals(setting.during())) {
                set(connection, setting, setting.before());
            } else if (!now.equals(setting.before())) {
                String values = SECRET.contains(setting.name())
                        ? ""
                        : ": it is \"" + now + "\", was set to \"" + setting.during() + "\", and was \""
                                + setting.before() + "\" before";
                leftAlone.add(setting.name() + " on " + connection.endpoint()
                        + " was changed by somebody else meanwhile and is left as it is" + values);
            }
        }
        if (!settings.isEmpty()) {
            makeLasting(connection);
        }
        return List.copyOf(leftAlone);
    }

    /**
     * Has the server write its settings <em>and its role</em> into its config file, so that they outlive a restart.
     *
     * @return false where they will not: the server was started without a file, or cannot write it
     */
    public static boolean makeLasting(ServerConnection connection) {
        return !InfoReport.read(connection, "server").text("config_file", "").isEmpty()
                && !connection.call("CONFIG", "REWRITE").isError();
    }

    private static void set(ServerConnection connection, Setting setting, String value) {
        if (connection.call("CONFIG", "SET", setting.name(), value) instanceof Reply.Failure(String message)) {
            throw new FleetException(
                    FleetException.Code.REFUSED,
                    connection.endpoint() + " refused CONFIG SET " + setting.name() + ": " + message
                            + "; may this user run CONFIG SET, and does the server allow this setting to be changed?");
        }
    }

    /** A wanted value in the form that CONFIG GET will show it in, or nobody could tell later whether it is still ours. */
    private static String asShown(String name, String before, String value) {
        if (name.equals(BUFFER_LIMITS)) {
            return mergedLimits(before, value);
        }
        return before.matches("-?\\d+") ? bytes(value) : value;
    }

    /** "replica 0 0 0" changes one class out of the three that the server shows in one line. */
    private static String mergedLimits(String before, String value) {
        Map<String, String> classes = new LinkedHashMap<>();
        for (String limits : List.of(before, value)) {
            String[] words = limits.trim().split("\\s+", -1);
            for (int i = 0; i + 3 < words.length; i += 4) {
                String known = words[i].equals("replica") && classes.containsKey("slave") ? "slave" : words[i];
                classes.put(known, bytes(words[i + 1]) + " " + bytes(words[i + 2]) + " " + words[i + 3]);
            }
        }
        List<String> words = new ArrayList<>();
        classes.forEach((name, limits) -> words.add(name + " " + limits));
        return String.join(" ", words);
    }

    /** "64mb" as the server counts it: k is 1000 bytes and kb is 1024. */
    private static String bytes(String value) {
        String text = value.toLowerCase(Locale.ROOT);
        Map<String, Long> units = Map.of(
                "kb",
                1L << 10,
                "mb",
                1L << 20,
                "gb",
                1L << 30,
                "k",
                1_000L,
                "m",
                1_000_000L,
                "g",
                1_000_000_000L,
                "b",
                1L);
        String unit = text.replaceFirst("^\\d+", "");
        Long factor = units.get(unit);
        return factor == null || unit.length() == text.length()
                ? value
                : Long.toString(
                        Math.multiplyExact(Long.parseLong(text.substring(0, text.length() - unit.length())), factor));
    }
}
