package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import io.switchback.proxy.ServerManual.Argument;
import io.switchback.proxy.ServerManual.Command;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.Set;

/**
 * Invocations of one command, made of what the server says of its arguments: too few words, as many as are wanted, one too
 * many; each option taken and left out; each alternative; each argument with values that fit and values that do not. The
 * same seed gives the same invocations. Texts are bytes, each a character.
 */
final class CommandCorpus {
    static final String BINARY_KEY = "bin\r\n\0\377key";
    static final List<String> KEYS = List.of(
            "str", "list", "hash", "set", "iset", "zset", "stream", "geo", "hll", "none", "dst", "", "vec", BINARY_KEY);

    private static final List<String> NUMBERS = List.of(
            "1", "2", "-1", "0", "9223372036854775807", "9223372036854775808", "x", "", "1.5", " 1", "+1", "01");
    private static final List<String> DOUBLES = List.of("1.5", "-1", "inf", "-inf", "nan", "x", "", "1e400");
    private static final List<String> TEXTS = List.of("a", "1", "", "b\r\n\0\377", "zz".repeat(50));
    private static final List<String> TIMES = List.of("9999999999999", "-1", "x", "");
    private static final List<String> SPANS = List.of("100000", "-1", "x", "", "9223372036854775807");
    /** Never 0, which is for ever, nor what takes as long. */
    private static final List<String> TIMEOUTS = List.of("0.004", "-1", "x", "", "nan");

    private static final List<String> WAITS = List.of("4", "-1", "x", "");

    /** What arguments of these names are given first. */
    private static final Map<String, String> BY_NAME = Map.ofEntries(
            Map.entry("cursor", "0"),
            Map.entry("id", "1-1"),
            Map.entry("start", "0"),
            Map.entry("end", "-1"),
            Map.entry("stop", "-1"),
            Map.entry("group", "g"),
            Map.entry("consumer", "c"),
            Map.entry("function", "f"),
            Map.entry("function-code", "#!lua name=corpus\nredis.register_function('f', function() return 1 end)"),
            Map.entry("library-name", "corpus"),
            Map.entry("script", "return {KEYS[1] or 'none', ARGV[1] or 'none'}"),
            Map.entry("sha1", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"),
            Map.entry("username", "corpus"),
            Map.entry("rule", "on"),
            Map.entry("host", "127.0.0.1"),
            Map.entry("port", "1"),
            Map.entry("protover", "2"),
            Map.entry("encoding", "u8"),
            Map.entry("lua-script", "return 1"),
            Map.entry("index", "0"),
            Map.entry("db", "1"),
            Map.entry("destination-db", "1"),
            Map.entry("index1", "0"),
            Map.entry("index2", "1"),
            Map.entry("parameter", "slowlog-max-len"),
            Map.entry("ip:port", "127.0.0.1:1"),
            Map.entry("old-format", "127.0.0.1:1"));

    private static final Map<String, String> KEY_BY_GROUP = Map.ofEntries(
            Map.entry("list", "list"),
            Map.entry("hash", "hash"),
            Map.entry("set", "set"),
            Map.entry("sorted-set", "zset"),
            Map.entry("stream", "stream"),
            Map.entry("geo", "geo"),
            Map.entry("hyperloglog", "hll"),
            Map.entry("module", "vec"),
            Map.entry("vector_set", "vec"));

    private final Command command;
    private final String payload;
    private final Random random;
    private final Set<List<String>> invocations = new LinkedHashSet<>();

    private CommandCorpus(Command command, String payload, long seed) {
        this.command = command;
        this.payload = payload;
        this.random = new Random(seed ^ command.name().hashCode());
    }

    /**
     * @param payload what DUMP gives for a string on that server
     * @param max how many: those that show the command's form always, of those that try values as many as there is room for
     */
    static List<List<String>> of(Command command, String payload, long seed, int max) {
        CommandCorpus corpus = new CommandCorpus(command, payload, seed);
        corpus.forms();
        List<List<String>> forms = new ArrayList<>(corpus.invocations);
        corpus.values();
        for (int i = 0; i < Math.min(max, 10_000) / 4; i++) {
            corpus.anything();
        }
        List<List<String>> others =
                new ArrayList<>(corpus.invocations).subList(forms.size(), corpus.invocations.size());
        Collections.shuffle(others, corpus.random);
        forms.addAll(others.subList(0, Math.max(0, Math.min(others.size(), max - forms.size()))));
        return forms;
    }

    /** Which options, alternatives and repetitions an invocation has. */
    private static final class Choices {
        final Set<Argument> taken = new HashSet<>();
        final Map<Argument, Integer> alternative = new HashMap<>();
        final Map<Argument, Integer> times = new HashMap<>();
        final Map<Argument, String> values = new HashMap<>();
        boolean all;
        boolean lowerCase;

        boolean takes(Argument argument) {
            return !argument.optional() || all || taken.contains(argument);
        }
    }

    private void forms() {
        List<String> base = write(new Choices());
        int words = command.words().size();
        for (int length = words; length <= base.size(); length++) {
            invocations.add(List.copyOf(base.subList(0, length)));
        }
        addWith(base, "extra");
        Choices everything = new Choices();
        everything.all = true;
        invocations.add(write(everything));
        eachNode(command.arguments(), new Choices(), (argument, path) -> {
            path.taken.add(argument);
            List<String> one = write(path);
            invocations.add(one);
            if (argument.type().equals("oneof")) {
                for (int i = 0; i < argument.arguments().size(); i++) {
                    path.alternative.put(argument, i);
                    invocations.add(write(path));
                }
                path.alternative.remove(argument);
            }
            if (argument.multiple()) {
                for (int times = 2; times <= 3; times++) {
                    path.times.put(argument, times);
                    invocations.add(write(path));
                }
                path.times.remove(argument);
            }
            if (!argument.token().isEmpty()) {
                path.lowerCase = true;
                invocations.add(write(path));
                path.lowerCase = false;
                // The option without what belongs to it.
                int at = one.lastIndexOf(argument.token());
                if (at > 0) {
                    invocations.add(List.copyOf(one.subList(0, at + 1)));
                }
            }
        });
    }

    private void addWith(List<String> base, String more) {
        List<String> longer = new ArrayList<>(base);
        longer.add(more);
        invocations.add(longer);
    }

    private void values() {
        eachNode(command.arguments(), new Choices(), (argument, path) -> {
            path.taken.add(argument);
            for (String value : candidates(argument)) {
                path.values.put(argument, value);
                invocations.add(write(path));
            }
            path.values.remove(argument);
        });
    }

    /** Options, repetitions and values by lot. */
    private void anything() {
        Choices lot = new Choices();
        eachNode(command.arguments(), new Choices(), (argument, path) -> {
            if (random.nextInt(3) == 0) {
                lot.taken.add(argument);
            }
            if (argument.type().equals("oneof") && !argument.arguments().isEmpty()) {
                lot.alternative.put(
                        argument, random.nextInt(argument.arguments().size()));
            }
            if (argument.multiple()) {
                lot.times.put(argument, 1 + random.nextInt(3));
            }
            List<String> candidates = candidates(argument);
            if (!candidates.isEmpty() && random.nextInt(3) == 0) {
                lot.values.put(argument, candidates.get(random.nextInt(candidates.size())));
            }
        });
        invocations.add(write(lot));
    }

    private interface Visit {
        /** The path has what must be taken for the argument to be there. */
        void node(Argument argument, Choices path);
    }

    private void eachNode(List<Argument> arguments, Choices path, Visit visit) {
        for (Argument argument : arguments) {
            visit.node(argument, path);
            path.taken.add(argument);
            for (int i = 0; i < argument.arguments().size(); i++) {
                if (argument.type().equals("oneof")) {
                    path.alternative.put(argument, i);
                }
                eachNode(List.of(argument.arguments().get(i)), path, visit);
            }
            path.alternative.remove(argument);
            path.taken.remove(argument);
        }
    }

    // --- one invocation

    private List<String> write(Choices choices) {
        List<String> words = new ArrayList<>(command.words());
        int before = words.size();
        List<Integer> counts = new ArrayList<>();
        for (Argument argument : command.arguments()) {
            if (argument.name().equals("numkeys") && !choices.values.containsKey(argument)) {
                counts.add(words.size());
            }
            int size = words.size();
            write(words, argument, choices);
            if (argument.type().equals("key") && counts.size() == 1 && counts.getFirst() == size - 1) {
                words.set(size - 1, Integer.toString(words.size() - size));
            }
        }
        if (choices.lowerCase) {
            for (int i = before; i < words.size(); i++) {
                words.set(i, words.get(i).toLowerCase(Locale.ROOT));
            }
        }
        return words;
    }

    private void write(List<String> words, Argument argument, Choices choices) {
        if (!choices.takes(argument)) {
            return;
        }
        int times = argument.multiple() ? choices.times.getOrDefault(argument, 1) : 1;
        for (int i = 0; i < times; i++) {
            if (!argument.token().isEmpty() && (i == 0 || argument.multipleToken())) {
                words.add(argument.token().replace("\"", ""));
            }
            switch (argument.type()) {
                case "pure-token" -> {}
                case "block" -> argument.arguments().forEach(inner -> write(words, inner, choices));
                case "oneof" -> {
                    if (!argument.arguments().isEmpty()) {
                        write(words, argument.arguments().get(choices.alternative.getOrDefault(argument, 0)), choices);
                    }
                }
                default -> {
                    String value = choices.values.get(argument);
                    words.add(value != null ? value : usual(argument));
                }
            }
        }
    }

    private boolean isTimeout(Argument argument) {
        return argument.name().equals("timeout")
                || (argument.name().equals("milliseconds") && command.name().startsWith("xread"));
    }

    private List<String> candidates(Argument argument) {
        if (isTimeout(argument)) {
            return argument.type().equals("double") ? TIMEOUTS : WAITS;
        }
        return switch (argument.type()) {
            case "key" -> KEYS;
            case "integer" -> argument.name().contains("seconds") ? SPANS : NUMBERS;
            case "double" -> DOUBLES;
            case "unix-time" -> TIMES;
            case "pattern" -> List.of("*", "s*", "[", "");
            case "string" -> TEXTS;
            case "any" -> List.of("str", "1", "a", "-1", "x", "", "b\r\n\0\377");
            default -> List.of();
        };
    }

    private String usual(Argument argument) {
        if (isTimeout(argument)) {
            return candidates(argument).getFirst();
        }
        if (argument.name().equals("serialized-value")) {
            return payload;
        }
        if (argument.type().equals("key")) {
            return argument.name().matches("dest.*|newkey|dst")
                    ? "dst"
                    : KEY_BY_GROUP.getOrDefault(command.group(), "str");
        }
        String named = BY_NAME.get(argument.name());
        if (named != null && !(argument.type().equals("integer") && !named.matches("-?[0-9]+"))) {
            return named;
        }
        List<String> candidates = candidates(argument);
        return candidates.isEmpty() ? "a" : candidates.getFirst();
    }

    // --- for people, and for the wire

    static byte[][] bytes(List<String> words) {
        return words.stream().map(word -> word.getBytes(ISO_8859_1)).toArray(byte[][]::new);
    }

    static String shown(List<String> words) {
        StringBuilder shown = new StringBuilder();
        for (String word : words) {
            shown.append(shown.isEmpty() ? "" : " ")
                    .append(word.isEmpty() || word.contains(" ") ? '"' + quoted(word) + '"' : quoted(word));
        }
        return shown.toString();
    }

    static String quoted(String bytes) {
        StringBuilder quoted = new StringBuilder();
        for (int i = 0; i < bytes.length(); i++) {
            char c = bytes.charAt(i);
            switch (c) {
                case '\r' -> quoted.append("\\r");
                case '\n' -> quoted.append("\\n");
                default ->
                    quoted.append(
                            c >= ' ' && c <= '~' ? String.valueOf(c) : String.format(Locale.ROOT, "\\x%02x", (int) c));
            }
        }
        return quoted.length() > 400 ? quoted.substring(0, 400) + "..." : quoted.toString();
    }
}
