package io.switchback.release;

import io.switchback.commit.Protocol;
import io.switchback.config.ConfigException;
import io.switchback.config.YamlFile;
import io.switchback.config.YamlMap;
import io.switchback.proxy.OnStall;
import io.switchback.sync.CarriedKeys;
import io.switchback.sync.source.CopyLimits;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.BiFunction;

/**
 * A release as a person writes it (release.yaml). What a key means when it is left out is said at the constants; whether the
 * caches and fleets that it names exist is for the node to say that runs it.
 *
 * @param name by which the release is spoken of from now on
 * @param moves at least one, no cache twice
 * @param commit how the decision is reached
 * @param protect what an acknowledged write has reached while the way back is open
 * @param onStall with {@code protect: sync}, what becomes of clients while the old fleet confirms nothing
 * @param holdLimit the longest that one attempt of a switch may hold traffic
 * @param holdAttempts how many attempts a switch has
 * @param gates what must hold while the release is observed
 * @param observe how long it is observed after the cutover
 * @param onBreach what a breached gate leads to
 * @param onFleetLoss what the death of the fleet in use leads to
 * @param fleetLossAfter how long it must have been silent to be taken for dead
 * @param fleetHungAfter likewise, where it still takes connections: busy, or hung. Not shorter than {@code fleetLossAfter}
 * @param outage how long a link may be cut and still resume without a full copy; sizes the backlogs
 * @param overwriteTarget whether data that the new fleet already holds may be thrown away
 * @param onObstacle what becomes of a move to a cluster whose clients do what a cluster refuses
 * @param copy how fast links may copy
 * @param sourceText the file as it was written, kept with the release
 */
public record ReleaseFile(
        String name,
        List<CacheMove> moves,
        Protocol commit,
        Protect protect,
        OnStall onStall,
        Duration holdLimit,
        int holdAttempts,
        Gates gates,
        Duration observe,
        OnBreach onBreach,
        OnFleetLoss onFleetLoss,
        Duration fleetLossAfter,
        Duration fleetHungAfter,
        Duration outage,
        boolean overwriteTarget,
        OnObstacle onObstacle,
        CopyLimits copy,
        String sourceText) {

    static final Duration HOLD_LIMIT_DEFAULT = Duration.ofMillis(500);
    static final Duration HOLD_LIMIT_MIN = Duration.ofMillis(10);
    /** Clients give up on their own after some seconds; a hold beyond that is an outage. */
    static final Duration HOLD_LIMIT_MAX = Duration.ofSeconds(10);

    static final int HOLD_ATTEMPTS_DEFAULT = 5;
    static final int HOLD_ATTEMPTS_MAX = 100;
    static final Duration OBSERVE_DEFAULT = Duration.ofHours(24);
    static final Duration OBSERVE_MAX = Duration.ofDays(90);
    /** Longer than a server takes that is restarted on purpose and has little to load. */
    static final Duration FLEET_LOSS_AFTER_DEFAULT = Duration.ofSeconds(5);

    static final Duration FLEET_LOSS_AFTER_MIN = Duration.ofSeconds(1);
    static final Duration FLEET_LOSS_AFTER_MAX = Duration.ofHours(1);
    /** Longer than any one command should take: whoever leaves a server that is only busy loses what is not confirmed yet. */
    static final Duration FLEET_HUNG_AFTER_DEFAULT = Duration.ofSeconds(30);

    static final Duration OUTAGE_DEFAULT = Duration.ofSeconds(60);
    static final Duration OUTAGE_MIN = Duration.ofSeconds(1);
    static final Duration OUTAGE_MAX = Duration.ofHours(24);
    /** Of a copy; a mebibyte a second is the least that a source does not take for a link that is dead. */
    static final long COPY_MIB_PER_SECOND_MAX = 4096;

    static final long COPY_KEYS_PER_SECOND_MAX = 1_000_000_000;
    /** A look takes that long by itself. */
    static final Duration SOURCE_LATENCY_MIN = Duration.ofMillis(1);

    static final Duration SOURCE_LATENCY_MAX = Duration.ofSeconds(1);
    /** The highest number that a server's {@code databases} can have is one more. */
    static final long DATABASE_MAX = Integer.MAX_VALUE - 1;

    static final double RATIO_MIN = 1;
    static final double RATIO_MAX = 1000;
    static final Duration LAG_MAX = Duration.ofMinutes(10);
    static final long SAMPLES_MAX = 1_000_000_000;

    public ReleaseFile {
        moves = List.copyOf(moves);
    }

    /**
     * Reads a file.
     *
     * @throws ConfigException with everything that is wrong with it at once
     */
    public static ReleaseFile read(Path file) {
        return read(YamlFile.read(file));
    }

    /** Reads {@code text} as if it were the file {@code name}. */
    public static ReleaseFile parse(String name, String text) {
        return read(YamlFile.parse(name, text));
    }

    private static ReleaseFile read(YamlFile file) {
        YamlMap root = file.root();
        Optional<YamlMap> loss = root.has("fleet-loss") ? Optional.of(root.map("fleet-loss")) : Optional.empty();
        OnFleetLoss onFleetLoss = loss.map(map -> map.choice("then", OnFleetLoss.class, OnFleetLoss.SWITCH))
                .orElse(OnFleetLoss.SWITCH);
        Duration fleetLossAfter = loss.map(map ->
                        map.duration("after", FLEET_LOSS_AFTER_DEFAULT, FLEET_LOSS_AFTER_MIN, FLEET_LOSS_AFTER_MAX))
                .orElse(FLEET_LOSS_AFTER_DEFAULT);
        Optional<YamlMap> hold = root.has("hold") ? Optional.of(root.map("hold")) : Optional.empty();
        ReleaseFile release = new ReleaseFile(
                root.name("release"),
                moves(root),
                root.choice("commit", Protocol.class, Protocol.TWO_PHASE),
                root.choice("protect", Protect.class, Protect.ASYNC),
                root.choice("on-stall", OnStall.class, OnStall.HOLD),
                hold.map(map -> map.duration("limit", HOLD_LIMIT_DEFAULT, HOLD_LIMIT_MIN, HOLD_LIMIT_MAX))
                        .orElse(HOLD_LIMIT_DEFAULT),
                hold.map(map -> Math.toIntExact(map.integer("attempts", HOLD_ATTEMPTS_DEFAULT, 1, HOLD_ATTEMPTS_MAX)))
                        .orElse(HOLD_ATTEMPTS_DEFAULT),
                root.optionalMap("gates").map(ReleaseFile::gates).orElse(Gates.DEFAULT),
                root.duration("observe", OBSERVE_DEFAULT, Duration.ZERO, OBSERVE_MAX),
                root.choice("on-breach", OnBreach.class, OnBreach.ROLLBACK),
                onFleetLoss,
                fleetLossAfter,
                loss.map(map -> fleetHungAfter(map, fleetLossAfter)).orElse(FLEET_HUNG_AFTER_DEFAULT),
                root.duration("outage", OUTAGE_DEFAULT, OUTAGE_MIN, OUTAGE_MAX),
                root.flag("overwrite-target", false),
                root.choice("cluster-obstacles", OnObstacle.class, OnObstacle.REFUSE),
                root.optionalMap("copy").map(ReleaseFile::copy).orElse(CopyLimits.NONE),
                file.text());
        file.finish();
        return release;
    }

    private static Duration fleetHungAfter(YamlMap loss, Duration after) {
        Duration otherwise = after.compareTo(FLEET_HUNG_AFTER_DEFAULT) > 0 ? after : FLEET_HUNG_AFTER_DEFAULT;
        return loss.duration("hung-after", otherwise, after, FLEET_LOSS_AFTER_MAX);
    }

    private static CopyLimits copy(YamlMap copy) {
        Optional<Long> mebibytes =
                copy.optionalInteger("mib-per-second", CopyLimits.BYTES_PER_SECOND_MIN >> 20, COPY_MIB_PER_SECOND_MAX);
        Optional<Long> keys =
                copy.optionalInteger("keys-per-second", CopyLimits.KEYS_PER_SECOND_MIN, COPY_KEYS_PER_SECOND_MAX);
        return new CopyLimits(
                mebibytes.map(wanted -> OptionalLong.of(wanted << 20)).orElseGet(OptionalLong::empty),
                keys.map(OptionalLong::of).orElseGet(OptionalLong::empty),
                copy.has("source-latency")
                        ? Optional.of(copy.duration(
                                "source-latency", SOURCE_LATENCY_MAX, SOURCE_LATENCY_MIN, SOURCE_LATENCY_MAX))
                        : Optional.empty());
    }

    private static List<CacheMove> moves(YamlMap root) {
        List<CacheMove> moves = new ArrayList<>();
        Map<String, Integer> lineOf = new HashMap<>();
        for (YamlMap item : root.maps("moves")) {
            if (item.has("service") || item.has("database")) {
                refuseOtherMove(item);
                continue;
            }
            CacheMove move = new CacheMove(item.name("cache"), item.name("to"), linkKind(item), carriedKeys(item));
            Integer first = lineOf.putIfAbsent(move.cache(), item.line());
            if (first != null && !move.cache().isEmpty()) {
                item.problem("cache", "\"" + move.cache() + "\" is moved twice, first in line " + first);
            }
            moves.add(move);
        }
        return moves;
    }

    private static Optional<LinkKind> linkKind(YamlMap item) {
        return item.has("link") ? Optional.of(item.choice("link", LinkKind.class, LinkKind.RELAY)) : Optional.empty();
    }

    private static CarriedKeys carriedKeys(YamlMap item) {
        Optional<YamlMap> given = item.optionalMap("keys");
        if (given.isEmpty()) {
            return CarriedKeys.ALL;
        }
        YamlMap keys = given.get();
        List<String> only = keys.texts("only");
        List<String> except = keys.texts("except");
        Set<Integer> databases = new TreeSet<>();
        keys.integers("databases", 0, DATABASE_MAX).forEach(number -> databases.add(Math.toIntExact(number)));
        List<CarriedKeys.Rename> renames =
                keys.optionalMap("rename").map(ReleaseFile::renames).orElse(List.of());
        fewEnough(keys, "only", only.size());
        fewEnough(keys, "except", except.size());
        fewEnough(keys, "rename", renames.size());
        if (keys.keys().isEmpty()) {
            keys.problem("only", "missing, as are except, databases and rename; expected one of them");
        }
        Map<CarriedKeys.Rename, String> conflicts = CarriedKeys.conflicts(only, except, renames);
        conflicts.forEach((rename, why) -> keys.map("rename").problem(rename.from(), why));
        return conflicts.isEmpty() ? new CarriedKeys(only, except, databases, renames) : CarriedKeys.ALL;
    }

    private static void fewEnough(YamlMap keys, String key, int count) {
        if (count > CarriedKeys.PATTERNS_MAX) {
            keys.problem(key, "expected at most " + CarriedKeys.PATTERNS_MAX + ", found " + count);
        }
    }

    private static List<CarriedKeys.Rename> renames(YamlMap rename) {
        List<CarriedKeys.Rename> renames = new ArrayList<>();
        for (String from : rename.keys()) {
            rename.anyText(from).ifPresent(to -> renames.add(new CarriedKeys.Rename(from, to)));
        }
        return renames;
    }

    /** One line for the kind of move that does nothing yet, and none for the keys that go with it. */
    private static void refuseOtherMove(YamlMap item) {
        item.unsupported("service");
        item.unsupported("database");
        for (String key : List.of("cache", "to", "canary", "apply", "undo")) {
            item.has(key);
        }
    }

    private static Gates gates(YamlMap gates) {
        return new Gates(
                gate(gates, "art", Gates.DEFAULT.artRatioMax(), ReleaseFile::maxRatio),
                gate(gates, "p99", Gates.DEFAULT.p99RatioMax(), ReleaseFile::maxRatio),
                gate(
                        gates,
                        "errors",
                        Gates.DEFAULT.errorRateMax(),
                        (map, fallback) -> map.percent("max-rate")
                                .or(() -> missing(map, "max-rate", "a percentage such as 0.1%"))
                                .orElse(fallback)),
                gate(
                                gates,
                                "dlp",
                                Optional.of(Gates.DEFAULT.dlpMax().orElseThrow()),
                                (map, fallback) -> map.optionalInteger("max", 0, Long.MAX_VALUE)
                                        .or(() -> missing(map, "max", "a whole number of lost items"))
                                        .orElse(fallback))
                        .map(OptionalLong::of)
                        .orElseGet(OptionalLong::empty),
                gates.has("lag")
                        ? gates.map("lag").duration("max", Gates.DEFAULT.lagMax(), Duration.ofMillis(1), LAG_MAX)
                        : Gates.DEFAULT.lagMax(),
                gates.integer("samples-min", Gates.DEFAULT.samplesMin(), 1, SAMPLES_MAX));
    }

    /** A gate is left out (its default holds), {@code off}, or a map with its limit. */
    private static <T> Optional<T> gate(
            YamlMap gates, String key, Optional<T> fallback, BiFunction<YamlMap, T, T> limit) {
        if (gates.isText(key, "off")) {
            return Optional.empty();
        }
        return gates.has(key) ? Optional.of(limit.apply(gates.map(key), fallback.orElseThrow())) : fallback;
    }

    private static double maxRatio(YamlMap map, double fallback) {
        return map.ratio("max-ratio", RATIO_MIN, RATIO_MAX)
                .or(() -> missing(map, "max-ratio", "a number such as 1.2"))
                .orElse(fallback);
    }

    /** A gate that is named must say its limit: an empty one is a slip, not a wish for the default. */
    private static <T> Optional<T> missing(YamlMap map, String key, String form) {
        if (!map.has(key)) {
            map.problem(key, "missing; expected " + form);
        }
        return Optional.empty();
    }
}
