package io.switchback.proxy;

/**
 * A key that clients name much.
 *
 * @param key what is no printable text in it as {@code \xNN}; only the beginning of a long one
 * @param command the one that names it most, where one does in more than half of all cases
 * @param requestsPerSecond commands that name it, lately
 * @param errorPerSecond so far that may be off, in 95 of 100 cases
 * @param share of all commands
 * @param writeShare of the commands that name it, those that may write
 * @param bytes the larger of a command and its reply, when that was last measured; 0 where it was not
 */
public record HotKey(
        String key,
        int database,
        String command,
        double requestsPerSecond,
        double errorPerSecond,
        double share,
        double writeShare,
        long bytes) {}
