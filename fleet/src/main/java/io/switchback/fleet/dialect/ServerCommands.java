package io.switchback.fleet.dialect;

import io.switchback.fleet.ServerConnection;
import io.switchback.resp.Reply;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * The commands that one server has, as it says itself (COMMAND). Immutable.
 *
 * <p>COMMAND names a renamed command by its original name; since a stream uses the original names too, only what answers to
 * its original name counts here (COMMAND INFO looks it up).
 */
public final class ServerCommands {
    private static final int SUBCOMMANDS_INDEX = 9;

    private final Map<String, CommandShape> shapes;

    private ServerCommands(Map<String, CommandShape> shapes) {
        this.shapes = Map.copyOf(shapes);
    }

    /** Asks the server. */
    public static ServerCommands read(ServerConnection connection) {
        Map<String, CommandShape> shapes = parse(connection.demand("COMMAND"));
        List<String> question = new ArrayList<>(List.of("COMMAND", "INFO"));
        question.addAll(shapes.keySet());
        return new ServerCommands(parse(connection.demand(question.toArray(String[]::new))));
    }

    /** A table that is not asked from a server. */
    public static ServerCommands of(Map<String, CommandShape> shapes) {
        return new ServerCommands(shapes);
    }

    /** The shape of the command, or empty where the server has none of this name (upper or lower case). */
    public Optional<CommandShape> shape(String name) {
        return Optional.ofNullable(shapes.get(name.toLowerCase(Locale.ROOT)));
    }

    /** All names, lower case. */
    public Set<String> names() {
        return shapes.keySet();
    }

    private static Map<String, CommandShape> parse(Reply reply) {
        Map<String, CommandShape> shapes = new HashMap<>();
        if (reply instanceof Reply.Array(List<Reply> commands)) {
            for (Reply command : commands) {
                if (command instanceof Reply.Array(List<Reply> fields) && fields.size() >= 3) {
                    CommandShape shape = shape(fields);
                    shapes.put(shape.name(), shape);
                }
            }
        }
        return shapes;
    }

    private static CommandShape shape(List<Reply> fields) {
        String name = fields.getFirst().text().toLowerCase(Locale.ROOT);
        int arity = Integer.parseInt(fields.get(1).text());
        boolean writes = fields.get(2) instanceof Reply.Array(List<Reply> flags)
                && flags.stream().anyMatch(flag -> flag.text().equals("write"));
        Map<String, CommandShape> subcommands = new HashMap<>();
        if (fields.size() > SUBCOMMANDS_INDEX) {
            parse(fields.get(SUBCOMMANDS_INDEX))
                    .forEach((full, shape) -> subcommands.put(full.substring(full.indexOf('|') + 1), shape));
        }
        return new CommandShape(name, arity, writes, subcommands);
    }
}
