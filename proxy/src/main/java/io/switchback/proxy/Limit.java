package io.switchback.proxy;

import java.util.Locale;

/** The bounds of {@link ProxyLimits}, to count how often each was reached. */
public enum Limit {
    /** A client was told that there are too many, and closed. */
    CLIENTS,
    /** An argument was longer than any may be (or a length was none at all): a protocol error. */
    BULK_BYTES,
    /** A client was closed, since too much was being received. */
    RECEIVING_BYTES,
    /** A client's commands waited, since it did not read its replies, or these were kept until they are confirmed. */
    OUTPUT_PAUSE,
    /** A client was closed, since too much waited for it. */
    OUTPUT_BYTES,
    /** A client's commands waited, since as many as may be were in flight. */
    COMMANDS_IN_FLIGHT,
    /** A client's commands waited, since a server had not answered enough of what it was sent. */
    BYTES_OUTSTANDING,
    /** A client's commands waited, since too much of what clients sent over connections of their own was not answered. */
    UNANSWERED_BYTES,
    /** A command that its server may let wait was refused, since it was too long. */
    BLOCKING_BYTES,
    /** A long command was refused, since too much is kept of those that are not answered. */
    PERFORMED_BYTES,
    /** A transaction was refused, since its queue was too long. */
    TRANSACTION,
    /** A transaction was refused, since too much is queued in those of all clients. */
    QUEUED_BYTES,
    /** A large command was collected, since as many as may be were on their way. */
    LARGE_COMMANDS,
    /** A client was subscribed to names that are too long together. */
    SUBSCRIPTION_BYTES,
    /** A client told the server too much of what it tracks. */
    TRACKING_BYTES,
    /** A client was told to forget everything, since too much was to be invalidated at once. */
    INVALIDATIONS,
    /** A script was forgotten. */
    SCRIPT_BYTES,
    /** A connection to a server that clients share was refused, since all that may be were in use. */
    SERVER_CONNECTIONS,
    /** A connection of a client's own to a server was refused. */
    OWN_CONNECTIONS,
    /** A connection to a server was closed rather than kept for whoever needs one next. */
    IDLE_CONNECTIONS,
    /** A reply was too long to be looked through. */
    FILTERED_REPLY_BYTES,
    /** A server could not be connected to, however often it was tried. */
    CONNECT_ATTEMPTS,
    /** A read was given up, however often it was sent. */
    READ_ATTEMPTS,
    /** A command was given up that no server of a cluster has run. */
    REDIRECTIONS,
    /** A fleet had no primary that takes commands for so long that commands were refused. */
    FAILOVER_WAIT;

    /** As it is shown. */
    public String title() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
}
