package io.switchback.proxy;

import java.util.Map;

/**
 * What a proxy has to do at a moment, and which of its limits it has met.
 *
 * @param clients connections of clients that are open
 * @param commandsUnanswered commands that were sent and are neither answered nor given up
 * @param serverConnections connections to servers that are open, those of switches to come among them
 * @param receivingBytes commands that have not come in whole
 * @param largeCommands commands that are passed on as they come
 * @param limitsReached how often each limit was met since the proxy was opened
 */
public record ProxyLoad(
        int clients,
        int commandsUnanswered,
        int serverConnections,
        long receivingBytes,
        int largeCommands,
        Map<Limit, Long> limitsReached) {
    public ProxyLoad {
        limitsReached = Map.copyOf(limitsReached);
    }
}
