package io.switchback.fleet.dialect;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.ServerConnection;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.Servers;
import io.switchback.testkit.values.Scenario;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What the proxy refuses while a way back is open, by the command tables of real servers. */
class WayBackGuardTest {
    @TempDir
    Path folder;

    private Dialect dialect(String name, String... options) {
        try (RealServer server =
                        RealServer.start(Servers.require(name), folder.resolve(name + "-" + options.length), options);
                ServerConnection connection = ServerConnection.open(
                        new Endpoint(server.host(), server.port()), Optional.empty(), Duration.ofSeconds(20))) {
            return Dialect.read(connection);
        }
    }

    private static @Nullable String refusal(WayBackGuard guard, String command) {
        return guard.refusal(CommandEncoder.bytes(command.split(" ", -1)));
    }

    @Test
    void aRefusalNamesTheCommandTheOldServerAndWhatToDo() {
        WayBackGuard guard = WayBackGuard.between(dialect("valkey-9.1"), dialect("redis-7.0"));
        assertThat(guard.refusesNothing()).isFalse();
        assertThat(refusal(guard, "HEXPIRE k 10 FIELDS 1 f"))
                .startsWith("ERR ")
                .contains("HEXPIRE is unknown to redis 7.0.")
                .contains("finish the release");
        assertThat(refusal(guard, "HSETEX k EX 10 FIELDS 1 f v")).contains("HSETEX with EX");
        assertThat(refusal(guard, "hgetex k px 10 FIELDS 1 f")).contains("HGETEX with PX");
        assertThat(refusal(guard, "GEOSEARCHSTORE d s BYPOLYGON 3 1 1 2 2 3 3")).contains("BYPOLYGON");
    }

    @Test
    void whatComesDownTheStreamAsOlderCommandsIsAllowed() {
        WayBackGuard guard = WayBackGuard.between(dialect("valkey-9.1"), dialect("redis-6.0"));
        for (String command : List.of(
                "GET k",
                "HGETALL k",
                "FUNCTION LIST",
                "SCRIPT EXISTS x",
                "CONFIG GET x",
                "NOSUCHCOMMAND x",
                "FUNCTION",
                "SET k v EX 10",
                "SET k v IFEQ w GET",
                "SET k v PXAT 5 NX",
                "GETEX k EX 10",
                "GETDEL k",
                "LMPOP 1 k LEFT",
                "SPOP k 3",
                "INCRBYFLOAT k 1.5",
                "EVAL x 0",
                "FCALL f 0",
                "COPY a b DB 1 REPLACE",
                "LMOVE a b LEFT LEFT",
                "ZADD k GT CH 1 a 2 b",
                "ZRANGESTORE d s 0 1",
                "MSETEX 1 k v EX 10",
                "DELIFEQ k v",
                "HGETDEL k FIELDS 1 f",
                "HSETEX k FNX FIELDS 1 f v",
                "HGETEX k FIELDS 1 f",
                "LPOP k 5",
                "XADD k NOMKSTREAM MINID ~ 5 * f v",
                "XAUTOCLAIM k g c 0 0",
                "EXPIRE k 10 GT",
                "FLUSHALL SYNC",
                "SPUBLISH c m",
                // the server itself answers a syntax error
                "SET k v NOSUCHOPTION",
                "GEOSEARCHSTORE d s NOSUCHOPTION")) {
            assertThat(refusal(guard, command)).as(command).isNull();
        }
        for (String command :
                List.of("FUNCTION LOAD x", "HPEXPIRE k 1 FIELDS 1 f", "GEOSEARCHSTORE d s FROMMEMBER m BYBOX 1 1 m")) {
            assertThat(refusal(guard, command)).as(command).isNotNull();
        }
    }

    @Test
    void aPayloadThatTheOldServerWouldNotLoadIsRefused() throws Exception {
        Dialect old = dialect("redis-7.0");
        try (RealServer server = RealServer.start(Servers.require("redis-8.0"), folder.resolve("new"));
                ServerConnection connection = ServerConnection.open(
                        new Endpoint(server.host(), server.port()), Optional.empty(), Duration.ofSeconds(20))) {
            connection.demand("SET", "k", "v");
            byte[] dump = ((Reply.Bulk) connection.demand("DUMP", "k")).bytes();
            WayBackGuard guard = WayBackGuard.between(Dialect.read(connection), old);
            byte[][] restore = CommandEncoder.bytes("RESTORE", "k", "0", "");
            restore[3] = dump;
            assertThat(guard.refusal(restore)).contains("a payload of version 12");
        }
    }

    @Test
    void aDatabaseThatTheOldServerLacksIsRefused() {
        WayBackGuard guard = WayBackGuard.between(dialect("redis-7.0", "--databases", "32"), dialect("redis-6.0"));
        assertThat(refusal(guard, "SELECT 15")).isNull();
        assertThat(refusal(guard, "SELECT 16")).contains("database 16").contains("which has 16");
        assertThat(refusal(guard, "COPY a b DB 20")).isNotNull();
    }

    @Test
    void aCommandThatWasRenamedOnTheOldServerIsRefused() {
        WayBackGuard guard =
                WayBackGuard.between(dialect("redis-7.0"), dialect("redis-6.0", "--rename-command", "FLUSHALL", ""));
        assertThat(refusal(guard, "FLUSHALL")).contains("FLUSHALL is unknown");
    }

    @Test
    void towardsAnEqualOrNewerServerNothingIsRefused() {
        Dialect seven = dialect("redis-7.0");
        assertThat(WayBackGuard.between(seven, dialect("redis-8.0")).refusesNothing())
                .isTrue();
        assertThat(WayBackGuard.between(seven, dialect("valkey-9.1")).refusesNothing())
                .isTrue();
        assertThat(WayBackGuard.between(seven, seven).refusesNothing()).isTrue();
        assertThat(WayBackGuard.between(dialect("redis-8.0"), dialect("valkey-9.1"))
                        .refusesNothing())
                .isFalse();
        assertThat(WayBackGuard.between(dialect("valkey-8.1"), dialect("redis-8.0"))
                        .refusesNothing())
                .isFalse();
    }

    static Stream<String> servers() {
        return ServerBinary.found().stream().map(ServerBinary::name);
    }

    /** What closes the way in the recorded streams is refused beforehand, where a client's own command carries it. */
    @ParameterizedTest
    @MethodSource("servers")
    void theGuardRefusesWhatWouldCloseTheWay(String old) {
        Dialect oldDialect = dialect(old);
        for (ServerBinary newer : ServerBinary.found()) {
            Dialect inUse = dialect(newer.name());
            WayBackGuard guard = WayBackGuard.between(inUse, oldDialect);
            TargetRules rules = TargetRules.between(inUse, oldDialect);
            List<String> allowed = new ArrayList<>();
            for (Scenario scenario : Scenario.all()) {
                for (String text : scenario.commands()) {
                    byte[][] command =
                            CommandEncoder.bytes(text.replace("&", "").split(" ", -1));
                    @Nullable TargetRule rule = rules.find(command);
                    boolean known = inUse.commands()
                            .shape(text.replace("&", "").split(" ", -1)[0].toLowerCase(Locale.ROOT))
                            .isPresent();
                    if (known
                            && rule != null
                            && rule.judge(command) instanceof TargetRule.Judgement.Refuses
                            && !guard.refusesNothing()
                            && guard.refusal(command) == null) {
                        allowed.add(text);
                    }
                }
            }
            assertThat(allowed).as(newer.name() + " in use, " + old + " old").isEmpty();
        }
    }
}
