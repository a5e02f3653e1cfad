package io.switchback.clients;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.redisson.config.Protocol;
import redis.clients.jedis.Jedis;

/**
 * Redisson: its objects, of which many are scripts. Instead of WATCH it compares and sets in a script, and the maps that it keeps
 * at the client are told by messages what to forget.
 */
final class RedissonTest extends PromisesToClients {
    @Override
    void start(int port, List<Clients> started) {
        for (Protocol protocol : Protocol.values()) {
            started.add(LibraryAtWork.start(new RedissonLibrary(port, Mode.ONE_SERVER, protocol)));
        }
    }

    @Test
    void noUpdateUnderALockIsLost() {
        try (Jedis client = client()) {
            for (Findings found : findings) {
                assertThat(found.locked()).isPositive();
                assertThat(client.get(found.key("locked")))
                        .as(found.clients())
                        .isEqualTo(Long.toString(found.locked()));
            }
        }
    }
}
