package io.switchback.clients;

import io.switchback.testkit.RequiresServers;
import java.util.List;
import redis.clients.jedis.RedisProtocol;

/** Jedis: pools of connections, in RESP2 and RESP3, there with its client-side cache, which it refuses to have with any other server. */
@RequiresServers("redis-8.0")
final class JedisTest extends PromisesToClients {
    @Override
    String oldServer() {
        return "redis-8.0";
    }

    @Override
    String newServer() {
        return "redis-8.0";
    }

    @Override
    void start(int port, List<Clients> started) {
        for (RedisProtocol protocol : RedisProtocol.values()) {
            started.add(LibraryAtWork.start(new JedisLibrary(port, Mode.ONE_SERVER, protocol)));
        }
    }
}
