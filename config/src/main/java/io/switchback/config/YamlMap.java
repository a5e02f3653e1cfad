package io.switchback.config;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.NodeTuple;
import org.snakeyaml.engine.v2.nodes.ScalarNode;
import org.snakeyaml.engine.v2.nodes.SequenceNode;
import org.snakeyaml.engine.v2.nodes.Tag;

/**
 * The keys and values of one map of a {@link YamlFile}. Asking for a key that is missing or wrong records a problem and gives
 * a placeholder; a map that is itself a placeholder records nothing more, so that one mistake is reported once.
 *
 * <p>A form with a fallback means: the key may be left out. Bounds are inclusive and part of what is said to be expected.
 */
public final class YamlMap {
    /** A secret's file is one line. */
    private static final int SECRET_BYTES_MAX = 64 * 1024;
    /** A found value is quoted up to here. */
    private static final int QUOTED_CHARACTERS_MAX = 60;
    /** Up to this many slips of the finger, a name is taken for a misspelling of a known one. */
    private static final int MISSPELLING_EDITS_MAX = 2;

    private static final Duration DURATION_MAX = Duration.ofDays(3650);
    private static final Pattern DURATION = Pattern.compile("([0-9]{1,12})(ms|s|m|h)");
    private static final Pattern NUMBER = Pattern.compile("[0-9]{1,9}(\\.[0-9]{1,9})?");
    private static final Pattern NAME = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}");

    private final YamlFile file;
    private final String path;
    private final int line;
    private final boolean placeholder;
    private final Map<String, NodeTuple> entries;
    /** In the order of asking, which is the order that a "known here" reads well in. */
    private final Set<String> known = new LinkedHashSet<>();

    private YamlMap(YamlFile file, String path, int line, boolean placeholder, Map<String, NodeTuple> entries) {
        this.file = file;
        this.path = path;
        this.line = line;
        this.placeholder = placeholder;
        this.entries = entries;
    }

    /** The map that {@code node} is, at {@code path} of the file; keys that are given twice or are no text are problems. */
    static YamlMap of(YamlFile file, String path, int line, MappingNode node) {
        Map<String, NodeTuple> entries = new LinkedHashMap<>();
        YamlMap map = new YamlMap(file, path, line, false, entries);
        for (NodeTuple tuple : node.getValue()) {
            if (!(tuple.getKeyNode() instanceof ScalarNode key)) {
                file.problem(
                        YamlFile.lineOf(tuple.getKeyNode()),
                        path,
                        "expected a plain key, found " + found(tuple.getKeyNode()));
                continue;
            }
            NodeTuple first = entries.putIfAbsent(key.getValue(), tuple);
            if (first != null) {
                int firstLine = YamlFile.lineOf(first.getKeyNode());
                file.problem(
                        YamlFile.lineOf(key), map.pathOf(key.getValue()), "given twice, first in line " + firstLine);
            }
        }
        file.handedOut(path, map);
        return map;
    }

    /** Whether the key is there at all, with whatever value. Asking makes it a known key. */
    public boolean has(String key) {
        known.add(key);
        return entries.containsKey(key);
    }

    /** Whether the value is this very word, for keys that take a word such as {@code off} beside their usual form. */
    public boolean isText(String key, String word) {
        Node value = value(key);
        return value != null && word.equals(scalar(value));
    }

    /** The line that this map begins in, from 1. */
    public int line() {
        return line;
    }

    /** The line of a key, or of the map where it lacks the key. */
    public int line(String key) {
        NodeTuple tuple = entries.get(key);
        return tuple == null ? line : YamlFile.lineOf(tuple.getKeyNode());
    }

    /** The keys in the order of the file. */
    public List<String> keys() {
        return List.copyOf(entries.keySet());
    }

    /** Records a mistake at a key of this map. */
    public void problem(String key, String what) {
        known.add(key);
        if (!placeholder) {
            file.problem(line(key), pathOf(key), what);
        }
    }

    /** Refuses a key that belongs to the language of these files but does nothing yet. */
    public void unsupported(String key) {
        if (has(key)) {
            problem(key, "not supported yet by this version");
        }
    }

    public String text(String key) {
        return required(key, "text", YamlMap::nonEmpty, "");
    }

    public String text(String key, String fallback) {
        return optional(key, "text", YamlMap::nonEmpty).orElse(fallback);
    }

    public Optional<String> optionalText(String key) {
        return optional(key, "text", YamlMap::nonEmpty);
    }

    /** A name that can stand in paths, metrics and command lines: up to 64 letters, digits, dots, dashes and underscores. */
    public String name(String key) {
        return required(key, NAME_FORM, YamlMap::asName, "");
    }

    /** Where something listens that is to be reached. */
    public HostPort hostPort(String key) {
        return required(key, HOST_PORT_FORM, text -> HostPort.parse(text, 1), HOST_PORT_PLACEHOLDER);
    }

    /** One or a list of them; never empty. */
    public List<HostPort> hostPorts(String key) {
        return many(key, HOST_PORT_FORM, text -> HostPort.parse(text, 1));
    }

    /** Where to listen: as {@link #hostPort}, and port 0 stands for any free port. */
    public HostPort bindAddress(String key) {
        return required(key, HOST_PORT_FORM, text -> HostPort.parse(text, 0), HOST_PORT_PLACEHOLDER);
    }

    /** One or a list of addresses to listen at; never empty. */
    public List<HostPort> bindAddresses(String key) {
        return many(key, HOST_PORT_FORM, text -> HostPort.parse(text, 0));
    }

    /** As {@link #hostPort}, or a Unix socket. */
    public HostPort hostPortOrSocket(String key) {
        return required(
                key, HOST_PORT_OR_SOCKET_FORM, text -> HostPort.parseWithSockets(text, 1), HOST_PORT_PLACEHOLDER);
    }

    /** As {@link #bindAddresses}, with Unix sockets among them. */
    public List<HostPort> bindAddressesOrSockets(String key) {
        return many(key, HOST_PORT_OR_SOCKET_FORM, text -> HostPort.parseWithSockets(text, 0));
    }

    /** Some of these words, one or a list of them; all of them where the key is left out. */
    public List<String> words(String key, List<String> all) {
        String form = "one of " + String.join(", ", all);
        return has(key) ? many(key, form, text -> Optional.of(text).filter(all::contains)) : all;
    }

    /** One text or a list of them; none where the key is left out. */
    public List<String> texts(String key) {
        return has(key) ? many(key, "text", YamlMap::nonEmpty) : List.of();
    }

    /** A text that may be empty. */
    public Optional<String> anyText(String key) {
        return optional(key, "text, which may be empty (\"\")", Optional::of);
    }

    /** A file that the YAML file names and that is not read here: {@code file:PATH}, relative to the YAML file. */
    public Optional<Path> optionalFile(String key) {
        return optional(
                key,
                "a file: file:PATH",
                text -> text.startsWith(FILE) && text.length() > FILE.length()
                        ? Optional.of(file.resolve(text.substring(FILE.length())))
                        : Optional.empty());
    }

    public Duration duration(String key, Duration fallback) {
        return duration(key, fallback, Duration.ZERO, DURATION_MAX);
    }

    public Duration duration(String key, Duration fallback, Duration min, Duration max) {
        String form = "a duration such as 200ms, 5s, 10m or 24h"
                + bounds(min, Duration.ZERO, max, DURATION_MAX, YamlMap::written);
        return optional(key, form, text -> asDuration(text).filter(d -> d.compareTo(min) >= 0 && d.compareTo(max) <= 0))
                .orElse(fallback);
    }

    /** A factor such as {@code 1.2}. */
    public Optional<Double> ratio(String key, double min, double max) {
        String form = "a number such as 1.2, from " + min + " to " + max;
        return optional(key, form, text -> asNumber(text).filter(n -> n >= min && n <= max));
    }

    /** A share such as {@code 0.1%}, given as 0.001. */
    public Optional<Double> percent(String key) {
        return optional(
                key,
                "a percentage such as 0.1%, from 0% to 100%",
                text -> text.endsWith("%")
                        ? asNumber(text.substring(0, text.length() - 1))
                                .map(n -> n / 100)
                                .filter(n -> n <= 1)
                        : Optional.empty());
    }

    public long integer(String key, long fallback, long min, long max) {
        return optionalInteger(key, min, max).orElse(fallback);
    }

    public Optional<Long> optionalInteger(String key, long min, long max) {
        String form = "a whole number from " + min + " to " + max;
        return optional(key, form, text -> asLong(text).filter(n -> n >= min && n <= max));
    }

    /** One whole number or a list of them; none where the key is left out. */
    public List<Long> integers(String key, long min, long max) {
        String form = "a whole number from " + min + " to " + max;
        return has(key) ? many(key, form, text -> asLong(text).filter(n -> n >= min && n <= max)) : List.of();
    }

    public boolean flag(String key, boolean fallback) {
        return optional(key, "true or false", text -> switch (text) {
                    case "true" -> Optional.of(true);
                    case "false" -> Optional.of(false);
                    default -> Optional.<Boolean>empty();
                })
                .orElse(fallback);
    }

    /** One of an enum's constants, written small and with dashes: {@code two-phase} is {@code TWO_PHASE}. */
    public <E extends Enum<E>> E choice(String key, Class<E> type, E fallback) {
        return choice(key, type, fallback, Set.of());
    }

    /** Likewise, where {@code unsupported} belong to the language but do nothing yet: they are refused as such. */
    public <E extends Enum<E>> E choice(String key, Class<E> type, E fallback, Set<E> unsupported) {
        List<E> constants = Arrays.asList(type.getEnumConstants());
        String form = constants.stream()
                .filter(constant -> !unsupported.contains(constant))
                .map(YamlMap::written)
                .collect(Collectors.joining(" or "));
        E chosen = optional(
                        key,
                        form,
                        text -> constants.stream()
                                .filter(constant -> written(constant).equals(text))
                                .findFirst())
                .orElse(fallback);
        if (unsupported.contains(chosen)) {
            problem(key, written(chosen) + " is not supported yet by this version; expected " + form);
        }
        return chosen;
    }

    /** {@code env:NAME}, {@code file:PATH} (relative to the YAML file), or the secret itself. */
    public Secret secret(String key) {
        if (!has(key)) {
            problem(key, "missing; expected " + SECRET_FORM);
            return SECRET_PLACEHOLDER;
        }
        return optionalSecret(key).orElse(SECRET_PLACEHOLDER);
    }

    public Optional<Secret> optionalSecret(String key) {
        Node value = value(key);
        if (value == null) {
            return Optional.empty();
        }
        String written = scalar(value);
        if (written == null || written.isEmpty()) {
            problem(key, "expected " + SECRET_FORM + ", found " + (written == null ? found(value) : "nothing"));
            return Optional.empty();
        }
        boolean elsewhere = written.startsWith("env:") || written.startsWith("file:");
        if (elsewhere && !file.secretsAreWanted()) {
            return Optional.of(Secret.from(written, ""));
        }
        if (written.startsWith("env:")) {
            return secretFromVariable(key, written);
        }
        return written.startsWith("file:") ? secretFromFile(key, written) : Optional.of(Secret.of(written));
    }

    /** The map at a key that must be there. */
    public YamlMap map(String key) {
        if (!has(key)) {
            problem(key, "missing; expected a map of keys");
        }
        return optionalMap(key).orElseGet(() -> placeholder(key));
    }

    public Optional<YamlMap> optionalMap(String key) {
        Node value = value(key);
        return value == null ? Optional.empty() : Optional.of(mapOf(key, pathOf(key), line(key), value));
    }

    /** A list of maps, at least one. */
    public List<YamlMap> maps(String key) {
        Node value = value(key);
        if (value == null) {
            problem(key, "missing; expected a list");
            return List.of();
        }
        if (!(value instanceof SequenceNode sequence) || sequence.getValue().isEmpty()) {
            problem(key, "expected a list with at least one item, found " + found(value));
            return List.of();
        }
        List<YamlMap> maps = new ArrayList<>();
        for (Node item : sequence.getValue()) {
            String itemPath = pathOf(key) + "[" + (maps.size() + 1) + "]";
            maps.add(mapOf(key, itemPath, YamlFile.lineOf(item), item));
        }
        return maps;
    }

    /** A map from names that the person chose to maps, in the order of the file, at least one. */
    public Map<String, YamlMap> namedMaps(String key) {
        YamlMap names = map(key);
        Map<String, YamlMap> named = new LinkedHashMap<>();
        for (String name : names.keys()) {
            if (asName(name).isEmpty()) {
                names.problem(name, "is no name; expected " + NAME_FORM);
            }
            named.put(name, names.map(name));
        }
        if (named.isEmpty() && !names.placeholder) {
            problem(key, "expected at least one name with its keys, found none");
        }
        return named;
    }

    void reportUnknownKeys() {
        for (String key : keys()) {
            if (known.contains(key)) {
                continue;
            }
            String hint = nearest(key)
                    .map(near -> "did you mean \"" + near + "\"?")
                    .orElseGet(
                            () -> known.isEmpty() ? "no key is known here" : "known here: " + String.join(", ", known));
            file.problem(line(key), pathOf(key), "unknown key; " + hint);
        }
    }

    private static final String HOST_PORT_FORM = "host:port such as 127.0.0.1:6379";
    private static final String HOST_PORT_OR_SOCKET_FORM =
            "host:port such as 127.0.0.1:6379, or unix:/PATH of at most 103 bytes";
    private static final String FILE = "file:";
    /** What an address that is missing or wrong reads as, for checks across keys that have nothing to say of it. */
    public static final HostPort HOST_PORT_PLACEHOLDER = new HostPort("unset", 0);

    private static final String SECRET_FORM = "a secret: env:NAME, file:PATH, or the secret itself";
    private static final Secret SECRET_PLACEHOLDER = Secret.from("unset", "");
    private static final String NAME_FORM =
            "a name of up to 64 letters, digits, dots, dashes and underscores that begins with a letter or digit";

    private <T> T required(String key, String form, Function<String, Optional<T>> parse, T fallback) {
        if (!has(key)) {
            problem(key, "missing; expected " + form);
        }
        return optional(key, form, parse).orElse(fallback);
    }

    private <T> Optional<T> optional(String key, String form, Function<String, Optional<T>> parse) {
        Node value = value(key);
        return value == null ? Optional.empty() : parsed(key, form, parse, value);
    }

    private <T> List<T> many(String key, String form, Function<String, Optional<T>> parse) {
        Node value = value(key);
        if (value == null) {
            problem(key, "missing; expected " + form + ", or a list of them");
            return List.of();
        }
        if (!(value instanceof SequenceNode sequence)) {
            return parsed(key, form + ", or a list of them", parse, value)
                    .map(List::of)
                    .orElse(List.of());
        }
        if (sequence.getValue().isEmpty()) {
            problem(key, "expected " + form + ", or a list of them, found an empty list");
        }
        List<T> all = new ArrayList<>();
        for (Node item : sequence.getValue()) {
            parsed(key, form, parse, item).ifPresent(all::add);
        }
        return all;
    }

    private <T> Optional<T> parsed(String key, String form, Function<String, Optional<T>> parse, Node value) {
        String text = scalar(value);
        Optional<T> result = text == null ? Optional.empty() : parse.apply(text);
        if (result.isEmpty() && !placeholder) {
            file.problem(YamlFile.lineOf(value), pathOf(key), "expected " + form + ", found " + found(value));
        }
        return result;
    }

    private YamlMap mapOf(String key, String itsPath, int itsLine, Node value) {
        if (value instanceof MappingNode mapping) {
            YamlMap known = file.handedOut(itsPath);
            return known == null ? of(file, itsPath, itsLine, mapping) : known;
        }
        file.problem(itsLine, itsPath, "expected a map of keys, found " + found(value));
        return placeholder(key);
    }

    private YamlMap placeholder(String key) {
        return new YamlMap(file, pathOf(key), line(key), true, Map.of());
    }

    private Optional<Secret> secretFromVariable(String key, String written) {
        String variable = written.substring("env:".length());
        String value = variable.isEmpty() ? null : file.variable(variable);
        if (value == null || value.isEmpty()) {
            problem(key, "the environment variable \"" + variable + "\" is " + (value == null ? "not set" : "empty"));
            return Optional.empty();
        }
        return Optional.of(Secret.from(written, value));
    }

    private Optional<Secret> secretFromFile(String key, String written) {
        Path source = file.resolve(written.substring("file:".length()));
        try {
            if (Files.size(source) > SECRET_BYTES_MAX) {
                problem(key, "the secret's file " + source + " is longer than " + SECRET_BYTES_MAX + " bytes");
                return Optional.empty();
            }
            // Editors end the line; no secret does.
            String value = Files.readString(source).strip();
            if (value.isEmpty()) {
                problem(key, "the secret's file " + source + " is empty");
                return Optional.empty();
            }
            return Optional.of(Secret.from(written, value));
        } catch (IOException e) {
            problem(
                    key,
                    "the secret's file " + source + " cannot be read: "
                            + (e instanceof NoSuchFileException ? "there is no such file" : e));
            return Optional.empty();
        }
    }

    private @Nullable Node value(String key) {
        known.add(key);
        NodeTuple tuple = entries.get(key);
        return tuple == null ? null : tuple.getValueNode();
    }

    private String pathOf(String key) {
        return path.isEmpty() ? key : path + "." + key;
    }

    private Optional<String> nearest(String key) {
        if (key.length() > QUOTED_CHARACTERS_MAX) {
            return Optional.empty();
        }
        return known.stream()
                .filter(candidate -> edits(key, candidate) <= Math.min(MISSPELLING_EDITS_MAX, candidate.length() / 2))
                .min((a, b) -> Integer.compare(edits(key, a), edits(key, b)));
    }

    /** The text of a scalar, or null for a list, a map and an empty value. */
    private static @Nullable String scalar(Node node) {
        return node instanceof ScalarNode scalar && !Objects.equals(node.getTag(), Tag.NULL) ? scalar.getValue() : null;
    }

    private static String found(Node node) {
        if (node instanceof MappingNode) {
            return "a map";
        }
        if (node instanceof SequenceNode sequence) {
            return sequence.getValue().isEmpty() ? "an empty list" : "a list";
        }
        String text = scalar(node);
        if (text == null) {
            return "nothing";
        }
        return "\"" + (text.length() <= QUOTED_CHARACTERS_MAX ? text : text.substring(0, QUOTED_CHARACTERS_MAX) + "…")
                + "\"";
    }

    private static Optional<String> nonEmpty(String text) {
        return text.isBlank() ? Optional.empty() : Optional.of(text);
    }

    private static Optional<String> asName(String text) {
        return isName(text) ? Optional.of(text) : Optional.empty();
    }

    private static Optional<Duration> asDuration(String text) {
        Matcher matcher = DURATION.matcher(text);
        if (!matcher.matches()) {
            return Optional.empty();
        }
        long amount = Long.parseLong(matcher.group(1));
        return Optional.of(
                switch (matcher.group(2)) {
                    case "ms" -> Duration.ofMillis(amount);
                    case "s" -> Duration.ofSeconds(amount);
                    case "m" -> Duration.ofMinutes(amount);
                    default -> Duration.ofHours(amount);
                });
    }

    private static Optional<Double> asNumber(String text) {
        return NUMBER.matcher(text).matches() ? Optional.of(Double.parseDouble(text)) : Optional.empty();
    }

    private static Optional<Long> asLong(String text) {
        try {
            return Optional.of(Long.parseLong(text));
        } catch (NumberFormatException noNumber) {
            return Optional.empty();
        }
    }

    private static <T extends Comparable<T>> String bounds(
            T min, T lowest, T max, T highest, Function<T, String> written) {
        boolean below = min.compareTo(lowest) > 0;
        boolean above = max.compareTo(highest) < 0;
        if (below && above) {
            return ", from " + written.apply(min) + " to " + written.apply(max);
        }
        return below ? ", at least " + written.apply(min) : above ? ", at most " + written.apply(max) : "";
    }

    private static String written(Duration duration) {
        long millis = duration.toMillis();
        if (millis % 3_600_000 == 0) {
            return millis / 3_600_000 + "h";
        }
        if (millis % 60_000 == 0) {
            return millis / 60_000 + "m";
        }
        return millis % 1000 == 0 ? millis / 1000 + "s" : millis + "ms";
    }

    private static String written(Enum<?> constant) {
        return constant.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    /** The least number of insertions, deletions, replacements and swaps of neighbours that make {@code a} into {@code b}. */
    private static int edits(String a, String b) {
        int[][] distance = new int[a.length() + 1][b.length() + 1];
        for (int i = 0; i <= a.length(); i++) {
            for (int j = 0; j <= b.length(); j++) {
                distance[i][j] = i == 0 ? j : j == 0 ? i : cheapest(distance, a, b, i, j);
            }
        }
        return distance[a.length()][b.length()];
    }

    private static int cheapest(int[][] distance, String a, String b, int i, int j) {
        int replaced = distance[i - 1][j - 1] + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
        int best = Math.min(replaced, 1 + Math.min(distance[i - 1][j], distance[i][j - 1]));
        boolean swapped = i > 1 && j > 1 && a.charAt(i - 1) == b.charAt(j - 2) && a.charAt(i - 2) == b.charAt(j - 1);
        return swapped ? Math.min(best, distance[i - 2][j - 2] + 1) : best;
    }

    /** Whether this can be a name in a file: up to 64 letters, digits, dots, dashes and underscores, the first a letter or digit. */
    public static boolean isName(String text) {
        return NAME.matcher(text).matches();
    }
}
