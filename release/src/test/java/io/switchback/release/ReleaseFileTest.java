package io.switchback.release;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.switchback.commit.Protocol;
import io.switchback.config.ConfigException;
import io.switchback.proxy.OnStall;
import io.switchback.sync.CarriedKeys;
import io.switchback.sync.CarriedKeys.Rename;
import io.switchback.sync.source.CopyLimits;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a release file says, and everything that can be wrong in one. */
class ReleaseFileTest {
    /** As the documentation shows it, without what does nothing yet. */
    private static final String FULL = """
            release: catalog-2026-11
            moves:
              - { cache: sessions, to: green }
              - { cache: carts, to: v2 }
            commit: two-phase
            protect: async
            hold: { limit: 250ms, attempts: 3 }
            gates:
              art:    { max-ratio: 1.3 }
              p99:    { max-ratio: 1.6 }
              errors: { max-rate: 0.2% }
              dlp:    { max: 1 }
              lag:    { max: 200ms }
              samples-min: 50
            observe: 12h
            on-breach: pause
            fleet-loss: { after: 20s, hung-after: 40s, then: wait }
            outage: 30s
            overwrite-target: true
            cluster-obstacles: report
            copy: { mib-per-second: 50, keys-per-second: 20000, source-latency: 5ms }
            """;

    @Test
    void everyKeyIsReadAsItIsWritten(@TempDir Path folder) throws IOException {
        Path path = Files.writeString(folder.resolve("release.yaml"), FULL);

        assertThat(ReleaseFile.read(path))
                .isEqualTo(new ReleaseFile(
                        "catalog-2026-11",
                        List.of(new CacheMove("sessions", "green"), new CacheMove("carts", "v2")),
                        Protocol.TWO_PHASE,
                        Protect.ASYNC,
                        OnStall.HOLD,
                        Duration.ofMillis(250),
                        3,
                        new Gates(
                                Optional.of(1.3),
                                Optional.of(1.6),
                                Optional.of(0.002),
                                OptionalLong.of(1),
                                Duration.ofMillis(200),
                                50),
                        Duration.ofHours(12),
                        OnBreach.PAUSE,
                        OnFleetLoss.WAIT,
                        Duration.ofSeconds(20),
                        Duration.ofSeconds(40),
                        Duration.ofSeconds(30),
                        true,
                        OnObstacle.REPORT,
                        new CopyLimits(
                                OptionalLong.of(50L << 20), OptionalLong.of(20_000), Optional.of(Duration.ofMillis(5))),
                        FULL));
    }

    @Test
    void aNameAndAMoveAreEnoughAndTheRestIsTheSafeChoice() {
        String text = "release: r\nmoves: [{ cache: sessions, to: green }]\n";

        assertThat(ReleaseFile.parse("release.yaml", text))
                .isEqualTo(new ReleaseFile(
                        "r",
                        List.of(new CacheMove("sessions", "green")),
                        Protocol.TWO_PHASE,
                        Protect.ASYNC,
                        OnStall.HOLD,
                        Duration.ofMillis(500),
                        5,
                        new Gates(
                                Optional.of(1.2),
                                Optional.of(1.5),
                                Optional.of(0.001),
                                OptionalLong.of(0),
                                Duration.ofMillis(100),
                                1000),
                        Duration.ofHours(24),
                        OnBreach.ROLLBACK,
                        OnFleetLoss.SWITCH,
                        Duration.ofSeconds(5),
                        Duration.ofSeconds(30),
                        Duration.ofSeconds(60),
                        false,
                        OnObstacle.REFUSE,
                        CopyLimits.NONE,
                        text));
    }

    @Test
    void aFleetThatIsSaidToHangIsNotLeftBeforeOneThatIsGone() {
        String text = "release: r\nmoves: [{ cache: c, to: g }]\nfleet-loss: { after: 50s }\n";

        assertThat(ReleaseFile.parse("release.yaml", text).fleetHungAfter()).isEqualTo(Duration.ofSeconds(50));
        assertThatThrownBy(() ->
                        ReleaseFile.parse("release.yaml", text.replace("after: 50s", "after: 50s, hung-after: 10s")))
                .isInstanceOf(ConfigException.class)
                .hasMessageContaining("hung-after");
    }

    @Test
    void whichKeysAreCarriedIsSaidOfEachCache() {
        ReleaseFile file = ReleaseFile.parse("release.yaml", """
                release: r
                moves:
                  - cache: sessions
                    to: green
                    keys:
                      only: ["session:*", "old:*"]
                      except: "tmp:*"
                      databases: [0, 3]
                      rename: { "old:": "new:", "session:": "s:" }
                  - { cache: carts, to: v2, link: scan, keys: { databases: 0 } }
                  - { cache: rest, to: v2 }
                """);

        assertThat(file.moves())
                .containsExactly(
                        new CacheMove(
                                "sessions",
                                "green",
                                Optional.empty(),
                                new CarriedKeys(
                                        List.of("session:*", "old:*"),
                                        List.of("tmp:*"),
                                        Set.of(0, 3),
                                        List.of(new Rename("old:", "new:"), new Rename("session:", "s:")))),
                        new CacheMove(
                                "carts",
                                "v2",
                                Optional.of(LinkKind.SCAN),
                                new CarriedKeys(List.of(), List.of(), Set.of(0), List.of())),
                        new CacheMove("rest", "v2"));
    }

    @Test
    void keysThatCouldNotBeKeptApartAreRefusedWhereTheyAreRenamed() {
        assertThat(problemsOf("""
                        release: r
                        moves:
                          - cache: a
                            to: g
                            keys:
                              only: []
                              except: [""]
                              databases: [0, -1, x]
                              rename:
                                "old:": "new:"
                                "o": "p"
                                "switchback:reserved:": "x"
                              onyl: "a*"
                          - { cache: b, to: g, keys: {} }
                          - { cache: c, to: g, keys: all }
                          - { cache: d, to: g, keys: { rename: { "x:": } } }
                        """))
                .containsExactly(
                        "release.yaml:6: moves[1].keys.only: expected text, or a list of them, found an empty list",
                        "release.yaml:7: moves[1].keys.except: expected text, found \"\"",
                        "release.yaml:8: moves[1].keys.databases: expected a whole number from 0 to 2147483646, found \"-1\"",
                        "release.yaml:8: moves[1].keys.databases: expected a whole number from 0 to 2147483646, found \"x\"",
                        "release.yaml:10: moves[1].keys.rename.old:: a key that begins with \"new:\" already could meet one that is renamed; leave such keys out by except: [\"new:*\"], or name by only what else is carried",
                        "release.yaml:11: moves[1].keys.rename.o: keys that begin with \"old:\" would be renamed twice, by \"old:\" too; name prefixes of which none begins with another",
                        "release.yaml:12: moves[1].keys.rename.switchback:reserved:: keys that begin with switchback:reserved: are Switchback's own, and are not carried",
                        "release.yaml:13: moves[1].keys.onyl: unknown key; did you mean \"only\"?",
                        "release.yaml:14: moves[2].keys.only: missing, as are except, databases and rename; expected one of them",
                        "release.yaml:15: moves[3].keys: expected a map of keys, found \"all\"",
                        "release.yaml:16: moves[4].keys.rename.x:: expected text, which may be empty (\"\"), found nothing");
    }

    @Test
    void patternsAreAsManyAsEachKeyCanBeHeldAgainst() {
        String patterns = IntStream.rangeClosed(0, CarriedKeys.PATTERNS_MAX)
                .mapToObj(i -> "k" + i)
                .collect(Collectors.joining(", "));
        assertThat(problemsOf("release: r\nmoves: [{ cache: c, to: g, keys: { only: [" + patterns + "] } }]\n"))
                .containsExactly("release.yaml:2: moves[1].keys.only: expected at most 100, found 101");
    }

    @Test
    void aGateCanBeSwitchedOffAndTheOthersKeepTheirDefaults() {
        Gates gates = ReleaseFile.parse(
                        "release.yaml",
                        "release: r\nmoves: [{ cache: c, to: g }]\ngates: { art: off, errors: off, dlp: off }\n")
                .gates();

        assertThat(gates.artRatioMax()).isEmpty();
        assertThat(gates.errorRateMax()).isEmpty();
        assertThat(gates.dlpMax()).isEmpty();
        assertThat(gates.p99RatioMax()).isEqualTo(Gates.DEFAULT.p99RatioMax());
        assertThat(gates.lagMax()).isEqualTo(Gates.DEFAULT.lagMax());
    }

    @Test
    void everyMistakeIsReportedAtOnceWithLineKeyAndWhatWasExpected() {
        assertThat(problemsOf("""
                        release: "a b"
                        moves:
                          - { cache: sessions, to: green }
                          - { cache: sessions, to: blue }
                          - { cach: carts, to: v2 }
                          - nonsense
                        commit: one-phase
                        protect: maybe
                        hold: { limit: 1m, attempts: 0 }
                        gates:
                          art: { max-ratio: 0.5 }
                          p99: {}
                          errors: { max-rate: 0.1 }
                          dlp: { max: -1 }
                          lag: { max: 0s }
                          samples-min: many
                          speed: 1
                        observe: 91
                        on-breach: panic
                        outage: 10ms
                        overwrite-target: perhaps
                        copy: { mib-per-second: 0, keys-per-second: 10, source-latency: 2s, bytes-per-second: 5 }
                        """))
                .containsExactly(
                        "release.yaml:1: release: expected a name of up to 64 letters, digits, dots, dashes and underscores that begins with a letter or digit, found \"a b\"",
                        "release.yaml:4: moves[2].cache: \"sessions\" is moved twice, first in line 3",
                        "release.yaml:5: moves[3].cache: missing; expected a name of up to 64 letters, digits, dots, dashes and underscores that begins with a letter or digit",
                        "release.yaml:5: moves[3].cach: unknown key; did you mean \"cache\"?",
                        "release.yaml:6: moves[4]: expected a map of keys, found \"nonsense\"",
                        "release.yaml:7: commit: expected two-phase or three-phase, found \"one-phase\"",
                        "release.yaml:8: protect: expected async or sync, found \"maybe\"",
                        "release.yaml:9: hold.limit: expected a duration such as 200ms, 5s, 10m or 24h, from 10ms to 10s, found \"1m\"",
                        "release.yaml:9: hold.attempts: expected a whole number from 1 to 100, found \"0\"",
                        "release.yaml:11: gates.art.max-ratio: expected a number such as 1.2, from 1.0 to 1000.0, found \"0.5\"",
                        "release.yaml:12: gates.p99.max-ratio: missing; expected a number such as 1.2",
                        "release.yaml:13: gates.errors.max-rate: expected a percentage such as 0.1%, from 0% to 100%, found \"0.1\"",
                        "release.yaml:14: gates.dlp.max: expected a whole number from 0 to 9223372036854775807, found \"-1\"",
                        "release.yaml:15: gates.lag.max: expected a duration such as 200ms, 5s, 10m or 24h, from 1ms to 10m, found \"0s\"",
                        "release.yaml:16: gates.samples-min: expected a whole number from 1 to 1000000000, found \"many\"",
                        "release.yaml:17: gates.speed: unknown key; known here: art, p99, errors, dlp, lag, samples-min",
                        "release.yaml:18: observe: expected a duration such as 200ms, 5s, 10m or 24h, at most 2160h, found \"91\"",
                        "release.yaml:19: on-breach: expected rollback or pause or report, found \"panic\"",
                        "release.yaml:20: outage: expected a duration such as 200ms, 5s, 10m or 24h, from 1s to 24h, found \"10ms\"",
                        "release.yaml:21: overwrite-target: expected true or false, found \"perhaps\"",
                        "release.yaml:22: copy.mib-per-second: expected a whole number from 1 to 4096, found \"0\"",
                        "release.yaml:22: copy.keys-per-second: expected a whole number from 1000 to 1000000000, found \"10\"",
                        "release.yaml:22: copy.source-latency: expected a duration such as 200ms, 5s, 10m or 24h, from 1ms to 1s, found \"2s\"",
                        "release.yaml:22: copy.bytes-per-second: unknown key; known here: mib-per-second, keys-per-second, source-latency");
    }

    @Test
    void whatThisVersionCannotDoYetIsRefusedByNameAndLineAndNothingElseIsSaidOfIt() {
        assertThat(problemsOf("""
                        release: catalog-2026-11
                        moves:
                          - { cache: sessions, to: green }
                          - { service: catalog, to: v2, canary: [1%, 10%, 50%] }
                          - { database: orders, apply: file:V42.sql, undo: file:U42.sql }
                        commit: three-phase
                        protect: sync
                        hold: { limit: 500ms }
                        gates:
                          art:    { max-ratio: 1.2 }
                          p99:    { max-ratio: 1.5 }
                          errors: { max-rate: 0.1% }
                          dlp:    { max: 0 }
                          lag:    { max: 100ms }
                        observe: 24h
                        on-breach: rollback
                        """))
                .containsExactly(
                        "release.yaml:4: moves[2].service: not supported yet by this version",
                        "release.yaml:5: moves[3].database: not supported yet by this version");
    }

    @Test
    void aReleaseThatMovesNothingIsAMistake() {
        assertThat(problemsOf("release: r\n")).containsExactly("release.yaml:1: moves: missing; expected a list");
        assertThat(problemsOf("release: r\nmoves: []\n"))
                .containsExactly("release.yaml:2: moves: expected a list with at least one item, found an empty list");
        assertThat(problemsOf("release: r\nmoves: [{ cache: c, to: g }]\nhold:\ngates:\n"))
                .containsExactly(
                        "release.yaml:3: hold: expected a map of keys, found nothing",
                        "release.yaml:4: gates: expected a map of keys, found nothing");
    }

    private static List<String> problemsOf(String text) {
        return Objects.requireNonNull(
                        catchThrowableOfType(ConfigException.class, () -> ReleaseFile.parse("release.yaml", text)))
                .problems()
                .stream()
                .map(ConfigException.Problem::toString)
                .toList();
    }
}
