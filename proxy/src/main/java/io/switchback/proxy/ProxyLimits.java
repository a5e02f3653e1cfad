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
 * @param transactionBytesMax the queue of one MULTI; past it the transaction is refused
 * @param transactionCommandsMax likewise, in commands
 * @param largeCommandsPerLoopMax commands that are passed on as they come, at one time; past it one more is collected as others are
 * @param subscriptionBytesMax the names that one client is subscribed to; past it the command is refused
 * @param scriptBytesMax the scripts that are remembered for switches, of which there are no more than {@link Scripts#SCRIPTS_MAX}; past it the one that was not used for longest is forgotten
 * @param backendConnectionsPerLoopMax connections to servers of all kinds; past it the command that needs one is refused
 * @param idleConnectionsPerLoopMax connections for MULTI and WATCH that are kept while nobody needs them
 * @param filteredReplyBytesMax a reply that must be looked through before it is passed on; past it the command fails
 * @param connectTimeout one attempt to open a connection to a server, its handshake included
 * @param connectAttemptsMax attempts before the commands that wait for a connection are answered by an error
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
        int transactionBytesMax,
        int transactionCommandsMax,
        int largeCommandsPerLoopMax,
        int subscriptionBytesMax,
        long scriptBytesMax,
        int backendConnectionsPerLoopMax,
        int idleConnectionsPerLoopMax,
        int filteredReplyBytesMax,
        Duration connectTimeout,
        int connectAttemptsMax,
        int attemptsPerReadMax) {

    private static final int MIB = 1024 * 1024;

    /** What a node has where its file says nothing else. */
    public static final ProxyLimits DEFAULT = new ProxyLimits(
            10_000,
            512 * MIB,
            256 * MIB,
            MIB,
            64 * MIB,
            1_024,
            16 * MIB,
            16 * MIB,
            65_536,
            64,
            16 * MIB,
            16 * MIB,
            1_024,
            16,
            64 * MIB,
            Duration.ofSeconds(1),
            3,
            3);

    /** These, for another number of clients. */
    public ProxyLimits withClientsMax(int clients) {
        return new ProxyLimits(
                clients,
                bulkBytesMax,
                receivingBytesPerLoopMax,
                outputBytesPerClientPause,
                outputBytesPerClientMax,
                commandsInFlightPerClientMax,
                bytesOutstandingPerBackendMax,
                transactionBytesMax,
                transactionCommandsMax,
                largeCommandsPerLoopMax,
                subscriptionBytesMax,
                scriptBytesMax,
                backendConnectionsPerLoopMax,
                idleConnectionsPerLoopMax,
                filteredReplyBytesMax,
                connectTimeout,
                connectAttemptsMax,
                attemptsPerReadMax);
    }
}
