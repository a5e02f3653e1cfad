package io.switchback.proxy;

/**
 * How large the replies to one client are, learnt from those that it had: so much is sent ahead for it as its replies may fill.
 *
 * <p>Owned by its session's event loop.
 */
final class ReplySizes {
    /** From so many bytes on other clients should not wait behind a reply, nor the proxy hold what a client does not read. */
    static final int LARGE_BYTES = 256 * 1024;
    /** A client whose replies have become shorter than this can share a connection again. */
    private static final int SMALL_BYTES = 32 * 1024;
    /** Of a client that has had none yet: it may ask for a few at a time. */
    private static final int UNKNOWN_BYTES = 64 * 1024;
    /** After so many replies those before them do not count. */
    private static final int REPLIES_LEARNT_FROM = 8;
    /** So that the server has the next command while a reply is on its way. */
    private static final int COMMANDS_IN_FLIGHT_MIN = 2;

    private long expectedBytes = UNKNOWN_BYTES;

    /** So many replies of so many bytes together have come. */
    void learn(int replies, long bytes) {
        if (replies > 0) {
            expectedBytes +=
                    (bytes / replies - expectedBytes) * Math.min(replies, REPLIES_LEARNT_FROM) / REPLIES_LEARNT_FROM;
        }
    }

    /** How many commands may be in flight, at most {@code commandsMax}, for their replies to fill about {@code bytes}. */
    int inFlightMax(int commandsMax, int bytes) {
        if (expectedBytes * commandsMax <= bytes) {
            return commandsMax;
        }
        return Math.clamp(bytes / expectedBytes, COMMANDS_IN_FLIGHT_MIN, commandsMax);
    }

    /** As far as is known. */
    boolean areLarge() {
        return expectedBytes > UNKNOWN_BYTES;
    }

    boolean areSmall() {
        return expectedBytes < SMALL_BYTES;
    }
}
