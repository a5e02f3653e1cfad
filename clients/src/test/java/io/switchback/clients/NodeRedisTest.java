package io.switchback.clients;

import java.util.List;

/** node-redis, the last version for Node.js 18 and the current one, in RESP2 and in RESP3, there with its client-side cache. */
final class NodeRedisTest extends PromisesToClients {
    /** The version of Node.js that the current one wants. */
    private static final int CURRENT_WANTS = 20;

    @Override
    void start(int port, List<Clients> started) {
        for (int protocol : new int[] {2, 3}) {
            started.add(ScriptAtWork.node("redis", "node-redis", protocol, port));
            if (ScriptAtWork.majorVersion() >= CURRENT_WANTS) {
                started.add(ScriptAtWork.node("redis-6", "node-redis", protocol, port));
            }
        }
    }
}
