package io.switchback.fleet.dialect;

import io.switchback.environment.Environment;
import java.util.Optional;

/**
 * Puts a source's replication stream into words that the target knows, command by command.
 *
 * <p>Invariant: the same command gives the same number of bytes, always, so that a link that starts again finds its place.
 *
 * <p>Not done yet: arguments are not looked at, only names and the number of words.
 */
public final class StreamTranslator {
    private final Dialect source;
    private final Dialect target;
    private final Environment environment;

    private StreamTranslator(Dialect source, Dialect target, Environment environment) {
        this.source = source;
        this.target = target;
        this.environment = environment;
    }

    /** {@code environment} gives the wall clock that relative times are made absolute by. */
    public static StreamTranslator between(Dialect source, Dialect target, Environment environment) {
        return new StreamTranslator(source, target, environment);
    }

    /** Whether every command is {@link Translation.Unchanged}, so that bytes may pass without being framed. */
    public boolean passesUntouched() {
        return source.version().equals(target.version());
    }

    /** What goes to the target in place of {@code command}, which stands between MULTI and EXEC or not. */
    public Translation translate(byte[][] command, boolean insideTransaction) {
        assert environment != null;
        String name = ServerCommands.nameOf(command);
        Optional<CommandShape> shape = target.commands().shape(name);
        if (shape.isEmpty()) {
            return new Translation.Impossible(name + " is unknown to " + target.version());
        }
        if (!shape.get().accepts(command.length)) {
            return new Translation.Impossible(
                    name + " with " + (command.length - 1) + " arguments is unknown to " + target.version());
        }
        return Translation.Unchanged.INSTANCE;
    }
}
