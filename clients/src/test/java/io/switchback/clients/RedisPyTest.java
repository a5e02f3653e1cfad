package io.switchback.clients;

import java.util.List;

/** redis-py, as Debian has it: a pool of connections, transactions by pipelines. */
final class RedisPyTest extends PromisesToClients {
    @Override
    void start(int port, List<Clients> started) {
        started.add(ScriptAtWork.redisPy(port, Mode.ONE_SERVER));
    }
}
