package io.switchback.clients;

import io.lettuce.core.protocol.ProtocolVersion;
import io.switchback.server.SomeFleet;
import io.switchback.server.TwoFleets;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.redisson.config.Protocol;
import redis.clients.jedis.RedisProtocol;

/** What libraries have for sentinels and for clusters, in front of fleets of that kind. */
abstract class PromisesInMode extends PromisesToClients {
    private final Mode mode;
    private final List<SomeFleet> behind = new ArrayList<>();

    PromisesInMode(Mode mode) {
        this.mode = mode;
    }

    /** Whose client-side caching Jedis knows. */
    @Override
    String newServer() {
        return "redis-8.0";
    }

    @Override
    String oldServer() {
        return newServer();
    }

    abstract SomeFleet fleet(ServerBinary binary, Path folder);

    @Override
    final TwoFleets between(Path folder) {
        for (String name : List.of("blue", "green")) {
            behind.add(fleet(server(name.equals("blue") ? oldServer() : newServer()), folder.resolve(name)));
        }
        return SomeFleet.between(behind.getFirst(), behind.getLast(), folder);
    }

    @Override
    final void endFleets() {
        behind.forEach(SomeFleet::close);
    }

    /** Each in one protocol: all at once are much for a small machine. */
    @Override
    final void start(int port, List<Clients> started) {
        started.add(LibraryAtWork.start(new JedisLibrary(port, mode, RedisProtocol.RESP3)));
        started.add(LibraryAtWork.start(new LettuceLibrary(port, mode, ProtocolVersion.RESP3)));
        started.add(LibraryAtWork.start(new RedissonLibrary(port, mode, Protocol.RESP3)));
        started.add(ScriptAtWork.node("ioredis", "ioredis", 2, port, mode));
        started.add(ScriptAtWork.redisPy(port, mode));
    }
}
