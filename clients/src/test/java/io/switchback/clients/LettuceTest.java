package io.switchback.clients;

import io.lettuce.core.protocol.ProtocolVersion;
import java.util.List;

/** Lettuce: one connection that all threads share, others for who waits, subscribes or watches; RESP3 with client-side caching. */
final class LettuceTest extends PromisesToClients {
    @Override
    void start(int port, List<Clients> started) {
        for (ProtocolVersion protocol : List.of(ProtocolVersion.RESP2, ProtocolVersion.RESP3)) {
            started.add(LibraryAtWork.start(new LettuceLibrary(port, Mode.ONE_SERVER, protocol)));
        }
    }
}
