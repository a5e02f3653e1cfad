package io.switchback.release;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ReplicationState;
import io.switchback.fleet.ReplicationState.Role;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerInfo;
import io.switchback.fleet.dialect.Dialect;
import io.switchback.fleet.dialect.WayBackGuard;
import io.switchback.release.ReleaseState.Side;
import io.switchback.resp.Reply;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;

/**
 * Asks both fleets whether a move, and its way back, can work at all, and by which kind of link. Changes nothing on either.
 *
 * <p>Every finding is collected; a problem ends the release before anything has changed, a warning is shown and journalled.
 */
final class FleetCheck {
    /** How much larger than the old fleet's data the new fleet's memory limit must be. */
    private static final double MEMORY_ROOM = 1.1;

    private static final long CLOCKS_APART_MS_MAX = 500;

    private final MovingCache cache;
    private final ReleaseFile file;
    private final Findings findings;

    /** What was found: sentences for a person. */
    static final class Findings {
        private final String cache;
        private final List<String> problems = new ArrayList<>();
        private final List<String> warnings = new ArrayList<>();
        private Optional<LinkChoice> choice = Optional.empty();

        Findings(String cache) {
            this.cache = cache;
        }

        void problem(String what) {
            problems.add("cache " + cache + ": " + what);
        }

        void warn(String what) {
            warnings.add(what);
        }

        List<String> problems() {
            return List.copyOf(problems);
        }

        List<String> warnings() {
            return List.copyOf(warnings);
        }

        /** By which kind of link the fleets can be joined; empty where there are problems before that. */
        Optional<LinkChoice> choice() {
            return choice;
        }
    }

    /** A primary of one of the fleets. */
    record Primary(ServerConnection server, ServerInfo info) {
        Endpoint endpoint() {
            return server.endpoint();
        }
    }

    private FleetCheck(MovingCache cache, ReleaseFile file) {
        this.cache = cache;
        this.file = file;
        this.findings = new Findings(cache.name());
    }

    static Findings of(MovingCache cache, ReleaseFile file) {
        FleetCheck check = new FleetCheck(cache, file);
        List<Primary> old = new ArrayList<>();
        List<Primary> fresh = new ArrayList<>();
        try {
            check.open(Side.OLD, old);
            check.open(Side.NEW, fresh);
            check.compare(old, fresh);
        } catch (FleetException e) {
            check.findings.problem(String.valueOf(e.getMessage()));
        } finally {
            old.forEach(one -> one.server().close());
            fresh.forEach(one -> one.server().close());
        }
        return check.findings;
    }

    private void open(Side side, List<Primary> into) {
        FleetSpec fleet = cache.fleet(side);
        for (Endpoint primary : fleet.topologyNow().primaries()) {
            ServerConnection server = MovingCache.connect(fleet, primary);
            try {
                into.add(new Primary(server, ServerInfo.read(server)));
            } catch (FleetException e) {
                server.close();
                throw e;
            }
        }
    }

    private void compare(List<Primary> old, List<Primary> fresh) {
        areTheSame(old, fresh);
        areWhatTheFileSays(old, Side.OLD);
        areWhatTheFileSays(fresh, Side.NEW);
        if (!findings.problems.isEmpty()) {
            return;
        }
        roles(old);
        roles(fresh);
        if (!findings.problems.isEmpty()) {
            return;
        }
        if (cache.carriedKeys().isAll()) {
            targetIsEmpty(fresh);
        }
        KeysCheck keys = new KeysCheck(cache, file, findings);
        keys.look(old, fresh);
        LinkChoice fits = Stream.concat(old.stream(), fresh.stream())
                .flatMap(one -> ApplyCheck.whyNotFollowed(one.server()).stream())
                .findFirst()
                .map(why -> new LinkChoice(LinkKind.SCAN, why + "; it promises less (docs/scan.md)"))
                .orElseGet(() -> choice(old.getFirst(), fresh.getFirst()));
        Optional<LinkKind> wanted = wantedLink();
        LinkChoice choice = wanted.filter(kind -> kind.compareTo(fits.kind()) > 0)
                .map(kind -> new LinkChoice(kind, "the release's file asks for it"))
                .orElse(fits);
        findings.choice = Optional.of(choice);
        if (wanted.isPresent() && wanted.get() != choice.kind()) {
            findings.problem("the release's file asks for link: " + wanted.get().title()
                    + ", which these fleets do not allow: " + fits.because() + "; leave link out");
            return;
        }
        switch (choice.kind()) {
            case RELAY -> {
                RelayCheck relay = new RelayCheck(findings);
                relay.lookAtElements(old.getFirst(), fresh.getFirst());
                relay.look(old.getFirst().server(), old.getFirst().info(), cache.fleet(Side.OLD));
                relay.look(fresh.getFirst().server(), fresh.getFirst().info(), cache.fleet(Side.NEW));
                ApplyCheck.whyNotWritten(old.getFirst().server())
                        .ifPresent(why -> findings.warn(
                                "should the way back be closed, it is opened again only once this user may write: "
                                        + why + "; give it the rights of switchback-relay-or-apply (docs/rights.md)"));
            }
            case APPLY -> new ApplyCheck(cache, file, findings).look(old, fresh);
            case SCAN -> new ApplyCheck(cache, file, findings).lookWhereNobodyFollows(old, fresh);
        }
        databases(old, fresh);
        new CopyCheck(file.copy(), choice.kind(), findings).look(old);
        room(old, fresh, keys);
        clocks(old.getFirst().server(), fresh.getFirst().server());
        guard(old.getFirst().server(), fresh.getFirst().server());
    }

    private Optional<LinkKind> wantedLink() {
        return file.moves().stream()
                .filter(move -> move.cache().equals(cache.name()))
                .findFirst()
                .flatMap(CacheMove::link);
    }

    private void areTheSame(List<Primary> old, List<Primary> fresh) {
        Set<String> ids = new HashSet<>();
        old.forEach(one -> ids.add(one.info().runId()));
        Optional<Primary> same =
                fresh.stream().filter(one -> ids.contains(one.info().runId())).findFirst();
        same.ifPresent(one -> findings.problem(cache.fleet(Side.OLD).name() + " and "
                + cache.fleet(Side.NEW).name() + " are one and the same server (" + one.endpoint() + ", run_id "
                + one.info().runId() + "); name two different ones"));
    }

    private void areWhatTheFileSays(List<Primary> primaries, Side side) {
        FleetSpec fleet = cache.fleet(side);
        Optional<Primary> other = primaries.stream()
                .filter(one -> one.info().clusterMode() != fleet.isCluster())
                .findFirst();
        other.ifPresent(one -> findings.problem(one.endpoint()
                + (fleet.isCluster()
                        ? " is not in cluster mode; name fleet " + fleet.name() + " as standalone or by its sentinels"
                        : " is in cluster mode; name fleet " + fleet.name() + " by cluster: [" + one.endpoint()
                                + "]")));
    }

    /** What changes least for the servers where it can be done: a relay; else links that apply, and why. */
    private LinkChoice choice(Primary old, Primary fresh) {
        for (Side side : Side.values()) {
            FleetSpec fleet = cache.fleet(side);
            Optional<String> why = switch (fleet.address()) {
                case FleetAddress.Standalone _ -> Optional.empty();
                case FleetAddress.Sentinel _ ->
                    Optional.of("fleet " + fleet.name() + " is watched by sentinels, which would take its"
                            + " primary for dead while it follows another fleet");
                case FleetAddress.Cluster _, FleetAddress.Shard _ ->
                    Optional.of("fleet " + fleet.name() + " is a cluster, which cannot follow another fleet");
            };
            if (why.isPresent()) {
                return new LinkChoice(LinkKind.APPLY, why.get());
            }
        }
        return KeysCheck.whyNoRelay(cache.carriedKeys())
                .or(() -> RelayCheck.whyNot(old.server(), old.info(), fresh.server(), fresh.info()))
                .map(why -> new LinkChoice(LinkKind.APPLY, why))
                .orElseGet(() -> new LinkChoice(
                        LinkKind.RELAY, "both fleets are single servers, and each can follow the other"));
    }

    private void roles(List<Primary> primaries) {
        for (Primary one : primaries) {
            if (ReplicationState.read(one.server()).role() != Role.PRIMARY) {
                findings.problem(one.endpoint() + " is a replica; name the primary of the fleet, or make it one");
            }
        }
    }

    private void targetIsEmpty(List<Primary> fresh) {
        for (Primary one : file.overwriteTarget() ? List.<Primary>of() : fresh) {
            Reply keyspace = one.server().demand("INFO", "keyspace");
            if (keyspace.text().contains("db")) {
                findings.problem(
                        one.endpoint() + " holds keys already ("
                                + keyspace.text().strip().replaceAll("\\s+", " ")
                                + "), and a copy would delete them; empty it, or say overwrite-target: true in the release's file");
            }
        }
    }

    private void databases(List<Primary> old, List<Primary> fresh) {
        int wanted = old.getFirst().info().databases();
        int there = fresh.getFirst().info().databases();
        boolean eitherIsACluster =
                cache.fleet(Side.OLD).isCluster() || cache.fleet(Side.NEW).isCluster();
        boolean named = !cache.carriedKeys().databases().isEmpty(); // KeysCheck looks for these
        if (!eitherIsACluster && !named && there < wanted) {
            findings.problem(fresh.getFirst().endpoint() + " has " + there + " databases, "
                    + old.getFirst().endpoint() + " has " + wanted + "; set databases to as many");
        }
    }

    private void room(List<Primary> old, List<Primary> fresh, KeysCheck keys) {
        long used = old.stream().mapToLong(one -> one.info().usedMemoryBytes()).sum();
        long oldLimit = limit(old);
        long newLimit = limit(fresh);
        long wanted = (long) (used * MEMORY_ROOM);
        if (!cache.carriedKeys().isAll()) {
            keys.room(old, fresh);
        } else if (newLimit > 0 && newLimit < wanted) {
            findings.problem(named(Side.NEW, fresh) + " has maxmemory " + newLimit + ", the old fleet uses " + used
                    + "; give it at least " + wanted);
        }
        if (oldLimit > 0 && (newLimit == 0 || newLimit > oldLimit)) {
            findings.warn(
                    "the old fleet has maxmemory " + oldLimit + ", the new one "
                            + (newLimit == 0 ? "none" : Long.toString(newLimit))
                            + ": what is written to the new one beyond it would make the old one evict or refuse, as a follower or after a rollback");
        }
        String oldPolicy = old.getFirst().info().evictionPolicy();
        String newPolicy = fresh.getFirst().info().evictionPolicy();
        if (!oldPolicy.equals(newPolicy)) {
            findings.warn("the eviction policies differ: " + oldPolicy + " on the old fleet, " + newPolicy
                    + " on the new one");
        }
    }

    private String named(Side side, List<Primary> primaries) {
        return primaries.size() == 1
                ? primaries.getFirst().endpoint().toString()
                : "fleet " + cache.fleet(side).name();
    }

    /** Of all together; 0 where one has none. */
    private static long limit(List<Primary> primaries) {
        return primaries.stream().anyMatch(one -> one.info().maxMemoryBytes() == 0)
                ? 0
                : primaries.stream()
                        .mapToLong(one -> one.info().maxMemoryBytes())
                        .sum();
    }

    /** Times to live are absolute in the stream: a follower whose clock is ahead would end keys too early after a switch. */
    private void clocks(ServerConnection old, ServerConnection fresh) {
        long before = clockMs(old);
        long other = clockMs(fresh);
        long after = clockMs(old);
        long apart = Math.max(before - other, other - after);
        if (apart > CLOCKS_APART_MS_MAX) {
            findings.warn("the clocks of " + old.endpoint() + " and " + fresh.endpoint() + " are " + apart
                    + " ms apart, and keys with a time to live end by as much too early or too late after a switch;"
                    + " synchronize them");
        }
    }

    private static long clockMs(ServerConnection server) {
        List<Reply> time = ((Reply.Array) server.demand("TIME")).elements();
        return Long.parseLong(time.get(0).text()) * 1000
                + Long.parseLong(time.get(1).text()) / 1000;
    }

    private void guard(ServerConnection old, ServerConnection fresh) {
        if (!WayBackGuard.between(Dialect.read(fresh), Dialect.read(old)).refusesNothing()) {
            findings.warn(
                    "until the release is finished, commands whose effect the old fleet does not know are refused by"
                            + " name, so that the way back stays open");
        }
    }
}
