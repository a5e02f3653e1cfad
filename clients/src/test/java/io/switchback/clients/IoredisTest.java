package io.switchback.clients;

import java.util.List;

/** ioredis: version 5, which speaks RESP2, and version 6, in both protocols. */
final class IoredisTest extends PromisesToClients {
    /** The version of Node.js that version 6 wants. */
    private static final int CURRENT_WANTS = 20;

    @Override
    void start(int port, List<Clients> started) {
        started.add(ScriptAtWork.node("ioredis", "ioredis", 2, port));
        for (int protocol : new int[] {2, 3}) {
            if (ScriptAtWork.majorVersion() >= CURRENT_WANTS) {
                started.add(ScriptAtWork.node("ioredis-6", "ioredis", protocol, port));
            }
        }
    }
}
