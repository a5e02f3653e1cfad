package io.switchback.fleet;

import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/** A real server as a fleet sees it. */
final class TestServer implements AutoCloseable {
    final FleetSpec fleet;
    private final RealServer server;

    private TestServer(RealServer server, Optional<Credential> credential) {
        this.server = server;
        this.fleet = new FleetSpec(server.binary().name(), new Endpoint(server.host(), server.port()), credential);
    }

    /** Every server that this machine has; at least the one that comes with the build. */
    static Stream<String> versions() {
        return ServerBinary.found().stream().map(ServerBinary::name);
    }

    static TestServer start(String version, Path folder, String... options) {
        return of(RealServer.start(ServerBinary.named(version).orElseThrow(), folder, options), options);
    }

    static TestServer startWithConfigFile(String version, Path folder, String... options) {
        return of(RealServer.startWithConfigFile(ServerBinary.named(version).orElseThrow(), folder, options), options);
    }

    private static TestServer of(RealServer server, String... options) {
        int password = List.of(options).indexOf("--requirepass");
        return new TestServer(
                server,
                password < 0
                        ? Optional.empty()
                        : Optional.of(new Credential(Credential.DEFAULT_USER, options[password + 1])));
    }

    ServerConnection connect() {
        return ServerConnection.open(fleet, Duration.ofSeconds(20));
    }

    @Override
    public void close() {
        server.close();
    }
}
