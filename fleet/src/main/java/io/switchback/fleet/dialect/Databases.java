package io.switchback.fleet.dialect;

import org.jspecify.annotations.Nullable;

/**
 * Finds a database number that the target does not have. A refused SELECT in a stream would let every later command run in the
 * wrong database.
 */
final class Databases {
    private Databases() {}

    static @Nullable String outOfRange(byte[][] command, Dialect target) {
        long highest = -1;
        if (Words.is(command[0], "SELECT") && command.length > 1) {
            highest = Words.number(command[1]);
        } else if (Words.is(command[0], "MOVE") && command.length > 2) {
            highest = Words.number(command[2]);
        } else if (Words.is(command[0], "SWAPDB") && command.length > 2) {
            highest = Math.max(Words.number(command[1]), Words.number(command[2]));
        } else if (Words.is(command[0], "COPY")) {
            for (int i = 3; i < command.length - 1; i++) {
                if (Words.is(command[i], "DB")) {
                    highest = Words.number(command[i + 1]);
                }
            }
        }
        return highest < target.databases()
                ? null
                : Words.text(command[0]) + ": database " + highest + " is unknown to " + target.version()
                        + ", which has " + target.databases();
    }
}
