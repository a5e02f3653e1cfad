package io.switchback.proxy;

import java.time.Duration;

/**
 * Every bound of the proxy's memory and patience. What happens at each is said here, in docs/commands.md for people, and
 * reached by a test.
 *
 * @param clientsMax connections of clients; one more is told so as the servers do, and closed
 * @param bulkBytesMax one argument of a command; a longer one is a protocol error, as on the servers (proto-max-bulk-len)
 * @param receivingBytesPerLoopMax commands that have not come in whole yet, of all clients of a loop; past it the client
 *     that holds most of it is told so and closed. In memory it can be three times as much, while {@link ReceivedBytes} grows
 * @param outputBytesPerClientPause replies that wait for a client to read them; past it no more of its commands are sent
 * @param outputBytesPerClientMax likewise; past it the client is closed (client-output-buffer-limit)
 * @param commandsInFlightPerClientMax commands of one client that are sent and not answered; past it reading waits
 * @param bytesOutstandingPerBackendMax commands that one server connection was sent and has not answered; past it its
 *     clients wait
 * @param unansweredBytesPerLoopMax likewise, of all connections that clients have to themselves; past it those clients wait
 * @param blockingBytesMax one command that its server may let wait; past it the command is refused
 * @param performedBytesPerLoopMax the larger ones of the commands that are kept until they are answered, since Switchback sees to them or a
 *     server lets them wait, of all clients of a loop; past it one more is refused
 * @param transactionBytesMax the queue of one MULTI; past it the transaction is refused
 * @param transactionCommandsMax likewise, in commands
 * @param queuedBytesPerLoopMax the longer ones of the queues of MULTI, of all clients of a loop; past it a transaction is refused
 * @param largeCommandsPerLoopMax commands that are passed on as they come, at one time; past it one more is collected as others are
 * @param subscriptionBytesMax the names that one client is subscribed to; past it the command is refused
 * @param trackingBytesMax what one client has said to CLIENT TRACKING; past it the command is refused
 * @param scriptBytesMax the scripts that are remembered for switches, of which there are no more than {@link Scripts#SCRIPTS_MAX}; past it the one that was not used for longest is forgotten
 * @param backendConnectionsPerLoopMax connections to servers that no client has to itself; past it the one that was not used for longest is
 *     closed, and where all are in use the command that needs one more is refused
 * @param ownConnectionsPerLoopMax connections to servers that clients have to themselves; past it the command that needs one is refused
 * @param idleConnectionsPerLoopMax connections for MULTI and WATCH that are kept while nobody needs them
 * @param filteredReplyBytesMax a reply that must be looked through before it is passed on; past it the command fails
 * @param connectTimeout one attempt to open a connection to a server, its handshake included
 * @param connectAttemptsMax attempts before the commands that wait for a connection are answered by an error
 * @param failoverWait for so long commands wait for a fleet that is not a single server to have a primary that takes them, before they
 *     are answered by an error
 * @param attemptsPerReadMax how often a command that only reads is sent, where the connection breaks before its reply. More
 *     than two: the listening socket of a server that is being killed still takes connections which are then reset
 */
public record ProxyLimits(
        int clientsMax,
        int bulkBytesMax,
        long receivingBytesPerLoopMax,
        int outputBytesPerClientPause,
        long outputBytesPerClientMax,
        int commandsInFlightPerClientMax,
        long bytesOutstandingPerBackendMax,
        long unansweredBytesPerLoopMax,
        int blockingBytesMax,
        long performedBytesPerLoopMax,
        int transactionBytesMax,
        int transactionCommandsMax,
        long queuedBytesPerLoopMax,
        int largeCommandsPerLoopMax,
        int subscriptionBytesMax,
        int trackingBytesMax,
        long scriptBytesMax,
        int backendConnectionsPerLoopMax,
        int ownConnectionsPerLoopMax,
        int idleConnectionsPerLoopMax,
        int filteredReplyBytesMax,
        Duration connectTimeout,
        int connectAttemptsMax,
        int attemptsPerReadMax,
        Duration failoverWait) {

    private static final int MIB = 1024 * 1024;
    private static final int CLIENTS_DEFAULT = 10_000;
    /** A client may need more than one: what it has subscribed to, what another one's invalidations come over, WAIT. */
    private static final int OWN_CONNECTIONS_SPARE = 1_024;

    /** What a node has where its file says nothing else. */
    public static final ProxyLimits DEFAULT = new ProxyLimits(
            CLIENTS_DEFAULT,
            512 * MIB,
            256 * MIB,
            MIB,
            64 * MIB,
            1_024,
            16 * MIB,
            256 * MIB,
            MIB,
            64 * MIB,
            16 * MIB,
            65_536,
            64 * MIB,
            64,
            16 * MIB,
            MIB,
            16 * MIB,
            1_024,
            CLIENTS_DEFAULT + OWN_CONNECTIONS_SPARE,
            16,
            64 * MIB,
            Duration.ofSeconds(1),
            3,
            3,
            Duration.ofSeconds(5));

    /** These, for another number of clients, each of which may need a connection of its own. */
    public ProxyLimits withClientsMax(int clients) {
        return new ProxyLimits(
                clients,
                bulkBytesMax,
                receivingBytesPerLoopMax,
                outputBytesPerClientPause,
                outputBytesPerClientMax,
                commandsInFlightPerClientMax,
                bytesOutstandingPerBackendMax,
                unansweredBytesPerLoopMax,
                blockingBytesMax,
                performedBytesPerLoopMax,
                transactionBytesMax,
                transactionCommandsMax,
                queuedBytesPerLoopMax,
                largeCommandsPerLoopMax,
                subscriptionBytesMax,
                trackingBytesMax,
                scriptBytesMax,
                backendConnectionsPerLoopMax,
                clients + OWN_CONNECTIONS_SPARE,
                idleConnectionsPerLoopMax,
                filteredReplyBytesMax,
                connectTimeout,
                connectAttemptsMax,
                attemptsPerReadMax,
                failoverWait);
    }
}
