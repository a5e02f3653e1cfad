package io.switchback.clients;

import java.util.List;

/** ioredis: version 5, which speaks RESP2, and version 6, in both protocols. */
final class IoredisTest extends PromisesToClients {
    @Override
    void start(int port, List<Clients> started) {
        started.add(NodeAtWork.start("ioredis", "ioredis", 2, port));
        started.add(NodeAtWork.start("ioredis-6", "ioredis", 2, port));
        started.add(NodeAtWork.start("ioredis-6", "ioredis", 3, port));
    }
}
