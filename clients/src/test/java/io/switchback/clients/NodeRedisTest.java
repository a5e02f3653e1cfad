package io.switchback.clients;

import java.util.List;

/** node-redis, the last version for Node.js 18 and the current one, in RESP2 and in RESP3, there with its client-side cache. */
final class NodeRedisTest extends PromisesToClients {
    @Override
    void start(int port, List<Clients> started) {
        for (String version : List.of("redis", "redis-6")) {
            started.add(NodeAtWork.start(version, "node-redis", 2, port));
            started.add(NodeAtWork.start(version, "node-redis", 3, port));
        }
    }
}
