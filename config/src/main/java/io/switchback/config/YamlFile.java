package io.switchback.config;

import io.switchback.config.ConfigException.Problem;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.api.lowlevel.Compose;
import org.snakeyaml.engine.v2.api.lowlevel.Parse;
import org.snakeyaml.engine.v2.events.Event;
import org.snakeyaml.engine.v2.exceptions.Mark;
import org.snakeyaml.engine.v2.exceptions.MarkedYamlEngineException;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.schema.CoreSchema;

/**
 * A YAML file that a person wrote, read so that all its mistakes are found in one go.
 *
 * <p>Reading is asking: {@link #root()} gives the top map, and asking it for a key that is missing or wrong records a problem and
 * answers with a placeholder, so that reading goes on. {@link #finish()} ends the reading: it adds every key that nobody asked
 * for, and throws if there is any problem. Nothing that was read may be used before {@code finish} has returned.
 *
 * <p>A file is read by one thread.
 */
public final class YamlFile {
    /** Far beyond what a person writes; a larger file is a mistake, not a configuration. */
    static final int FILE_BYTES_MAX = 1 << 20;
    /** Deeper nesting is refused before the composer, which recurses, sees it. */
    static final int NESTING_DEPTH_MAX = 32;

    private final String name;
    private final Path folder;
    private final String text;
    private final Function<String, @Nullable String> variables;
    private final boolean secretsAreWanted;
    private final List<Problem> problems = new ArrayList<>();
    private final Map<String, YamlMap> asked = new LinkedHashMap<>();
    private final YamlMap root;

    private YamlFile(
            String name,
            Path folder,
            String text,
            Function<String, @Nullable String> variables,
            boolean secretsAreWanted) {
        this.name = name;
        this.folder = folder;
        this.text = text;
        this.variables = variables;
        this.secretsAreWanted = secretsAreWanted;
        this.root = YamlMap.of(this, "", 1, top());
    }

    /**
     * Reads a file.
     *
     * @throws ConfigException if it cannot be read, is not YAML, is empty, or is not a map of keys
     */
    public static YamlFile read(Path file) {
        return read(file, System::getenv);
    }

    /**
     * As {@link #read(Path)}, for what needs no secret and may run where there is none: secrets that stand elsewhere ({@code
     * env:}, {@code file:}) are not looked for, and are empty.
     */
    public static YamlFile readWithoutSecrets(Path file) {
        return read(file, variable -> null, false);
    }

    static YamlFile read(Path file, Function<String, @Nullable String> variables) {
        return read(file, variables, true);
    }

    private static YamlFile read(Path file, Function<String, @Nullable String> variables, boolean secretsAreWanted) {
        String name = file.toString();
        Path parent = file.toAbsolutePath().getParent();
        return new YamlFile(
                name, parent == null ? Path.of("/") : parent, textOf(file, name), variables, secretsAreWanted);
    }

    /** Reads {@code text} as if it were the file {@code name} in the current folder. */
    public static YamlFile parse(String name, String text) {
        return new YamlFile(name, Path.of("").toAbsolutePath(), text, System::getenv, true);
    }

    /** The map that the file is. */
    public YamlMap root() {
        return root;
    }

    /** The file as it was written. */
    public String text() {
        return text;
    }

    /** The path that {@code written} means: paths in a file are relative to the folder of the file. */
    public Path resolve(String written) {
        return folder.resolve(written).normalize();
    }

    /** Records a mistake that shows only in several keys together. */
    public void problem(int line, String key, String what) {
        problems.add(new Problem(name, line, key, what));
    }

    /**
     * Ends the reading.
     *
     * @throws ConfigException with everything that is wrong, by line, unknown keys included
     */
    public void finish() {
        asked.values().forEach(YamlMap::reportUnknownKeys);
        asked.clear();
        if (!problems.isEmpty()) {
            throw new ConfigException(problems.stream()
                    .distinct()
                    .sorted(Comparator.comparingInt(Problem::line))
                    .toList());
        }
    }

    /** The map that was handed out for a path before: a map that is asked for twice is one, and knows all that was asked of it. */
    @Nullable
    YamlMap handedOut(String path) {
        return asked.get(path);
    }

    /** Called by every map that is handed out, so that {@link #finish()} finds what nobody asked it for. */
    void handedOut(String path, YamlMap map) {
        asked.put(path, map);
    }

    boolean secretsAreWanted() {
        return secretsAreWanted;
    }

    @Nullable
    String variable(String variable) {
        return variables.apply(variable);
    }

    static int lineOf(Node node) {
        return lineOf(node.getStartMark());
    }

    private static int lineOf(Optional<Mark> mark) {
        return mark.map(m -> m.getLine() + 1).orElse(0);
    }

    private MappingNode top() {
        LoadSettings settings = LoadSettings.builder()
                .setLabel(name)
                .setUseMarks(true)
                .setSchema(new CoreSchema())
                .setCodePointLimit(FILE_BYTES_MAX)
                .build();
        try {
            checkDepth(settings);
            Node node = new Compose(settings)
                    .composeString(text)
                    .orElseThrow(() -> new ConfigException(new Problem(name, 0, "", "the file is empty")));
            if (node instanceof MappingNode map) {
                return map;
            }
            throw new ConfigException(
                    new Problem(name, lineOf(node), "", "expected keys with values, such as \"name: value\""));
        } catch (MarkedYamlEngineException e) {
            String context = e.getContext() == null ? "" : " (" + e.getContext() + ")";
            throw new ConfigException(
                    new Problem(name, lineOf(e.getProblemMark()), "", "not valid YAML: " + e.getProblem() + context),
                    e);
        } catch (YamlEngineException e) {
            throw new ConfigException(new Problem(name, 0, "", "not valid YAML: " + e.getMessage()), e);
        }
    }

    private void checkDepth(LoadSettings settings) {
        int depth = 0;
        for (Event event : new Parse(settings).parseString(text)) {
            switch (event.getEventId()) {
                case MappingStart, SequenceStart -> depth++;
                case MappingEnd, SequenceEnd -> depth--;
                default -> {}
            }
            if (depth > NESTING_DEPTH_MAX) {
                throw new ConfigException(new Problem(
                        name, lineOf(event.getStartMark()), "", "nested deeper than " + NESTING_DEPTH_MAX + " levels"));
            }
        }
    }

    private static String textOf(Path file, String name) {
        try {
            long bytes = Files.size(file);
            if (bytes > FILE_BYTES_MAX) {
                throw new ConfigException(
                        new Problem(name, 0, "", "is " + bytes + " bytes long, expected at most " + FILE_BYTES_MAX));
            }
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(Files.readAllBytes(file)))
                    .toString();
        } catch (NoSuchFileException e) {
            throw new ConfigException(
                    new Problem(name, 0, "", "no such file (looked for " + file.toAbsolutePath() + ")"), e);
        } catch (CharacterCodingException e) {
            throw new ConfigException(new Problem(name, 0, "", "is not UTF-8 text"), e);
        } catch (IOException e) {
            throw new ConfigException(new Problem(name, 0, "", "cannot be read: " + e), e);
        }
    }
}
