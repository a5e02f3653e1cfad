package io.switchback.config;

import java.util.List;
import java.util.stream.Collectors;

/** A file that cannot be used, with everything that is wrong with it at once. The message has one line for each problem. */
public final class ConfigException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** Kept out of serialisation: exceptions of Switchback are never sent as Java objects. */
    private final transient List<Problem> problems;

    /**
     * One mistake.
     *
     * @param file as the person named it
     * @param line from 1; 0 where the file as a whole is meant
     * @param key the path of the key, such as {@code caches.sessions.listen}; empty where no key is meant
     * @param what what was expected and what was found
     */
    public record Problem(String file, int line, String key, String what) {
        @Override
        public String toString() {
            return file + (line > 0 ? ":" + line : "") + ": " + (key.isEmpty() ? "" : key + ": ") + what;
        }
    }

    ConfigException(List<Problem> problems) {
        super(problems.stream().map(Problem::toString).collect(Collectors.joining("\n")));
        this.problems = List.copyOf(problems);
    }

    ConfigException(Problem problem) {
        this(List.of(problem));
    }

    ConfigException(Problem problem, Throwable cause) {
        this(List.of(problem));
        initCause(cause);
    }

    /** All of them, by line. */
    public List<Problem> problems() {
        return problems;
    }
}
