package io.switchback.fleet.dialect;

import java.util.Map;

/**
 * What a server says of one of its commands.
 *
 * @param arity the number of words, the command's own included; negative: at least that many
 * @param writes whether the server calls it a write
 * @param subcommands by lower-case name (without the container's); empty where there are none or the server does not tell
 *     (before 7.0)
 */
public record CommandShape(String name, int arity, boolean writes, Map<String, CommandShape> subcommands) {
    public CommandShape {
        subcommands = Map.copyOf(subcommands);
    }

    /** Whether a command of so many words is accepted. */
    public boolean accepts(int words) {
        return arity >= 0 ? words == arity : words >= -arity;
    }
}
