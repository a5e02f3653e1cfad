package io.switchback.simulation;

import io.switchback.commit.SwitchId;
import io.switchback.fleet.Token;
import io.switchback.ledger.Decision;
import io.switchback.ledger.Decisions;
import io.switchback.ledger.Entry;
import io.switchback.ledger.Route;
import io.switchback.ledger.Routes;
import io.switchback.ledger.Verdict;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** What must hold, looked at whenever something happens that could break it. Knows the whole world at once, which nobody in it does. */
final class Laws {
    private static final String DECISION = "decisions/";

    private final World world;
    private final Map<String, Verdict> recorded = new HashMap<>();
    /** Switches with ABORT on record after which somebody has let go. */
    private final Set<Long> over = new HashSet<>();

    private final Set<Long> acknowledged = new HashSet<>();
    private Route route;
    /** When the route was decided, and when the fleet that it left was fenced for that. */
    private long decidedAt;

    private long fencedAt;
    private long lastFenceAt;
    private boolean written;
    private boolean answered;
    private int commits;
    private int aborts;

    Laws(World world, Route route) {
        this.world = world;
        this.route = route;
    }

    Route route() {
        return route;
    }

    int commits() {
        return commits;
    }

    int aborts() {
        return aborts;
    }

    int acknowledgedWrites() {
        return acknowledged.size();
    }

    // ---- the ledger

    /** Before a transaction takes effect. */
    void recorded(Map<String, Optional<Entry>> changes) {
        changes.forEach((path, entry) -> {
            if (path.startsWith(DECISION)) {
                decided(path.substring(DECISION.length()), path, entry.orElse(null));
            }
        });
        Optional<Entry> routed = changes.getOrDefault("routes/" + Records.CACHE, Optional.empty());
        routed.ifPresent(entry -> routed(entry));
    }

    private void decided(String id, String path, @Nullable Entry entry) {
        if (entry == null || recorded.containsKey(id)) {
            throw new LawBroken("L5: the decision of " + id + " was changed");
        }
        OneEntry only = new OneEntry(entry);
        Decision decision =
                new Decisions(only).read(path.substring(DECISION.length())).orElseThrow();
        recorded.put(id, decision.verdict());
        if (decision.verdict() == Verdict.COMMIT) {
            commits++;
            Records.Evidence evidence = world.ledger().value(decision.evidenceJson(), Records.Evidence.class);
            long membership =
                    world.ledger().truth("members").map(Entry::version).orElse(-1L);
            if (evidence.membership() != membership) {
                throw new LawBroken("L3: " + id + " is decided for the membership at version " + evidence.membership()
                        + ", and it is at " + membership + ": a node was not counted");
            }
        } else {
            aborts++;
        }
        world.trace(SimLedger.NAME, () -> id + ": " + decision.verdict() + " (" + decision.reason() + ")");
    }

    private void routed(Entry entry) {
        Route next = new Routes(new OneEntry(entry)).current(Records.CACHE).orElseThrow();
        if (next.epoch() != route.epoch() + 1) {
            throw new LawBroken("L5: the route went from " + route + " to " + next);
        }
        route = next;
        decidedAt = world.now();
        fencedAt = lastFenceAt;
        written = false;
        answered = false;
        world.trace(SimLedger.NAME, () -> "the route is " + next);
    }

    // ---- the servers

    void clientWrites(SimServer server, SimNode node, DataPlane.Connection connection) {
        if (!server.name().equals(route.fleet())) {
            throw new LawBroken("L3: " + server.name() + " takes a write of a client of " + node.name() + " (epoch "
                    + node.epoch() + ", connected at " + connection.openedAt + "), and the route is " + route);
        }
        if (!written) {
            written = true;
            demandNothingLost(server);
        }
    }

    void linkWrites(SimLink link, SimServer target) {
        if (target.name().equals(route.fleet())) {
            throw new LawBroken("L3: " + link + " writes to " + target.name() + ", and the route is " + route);
        }
    }

    /** A command that changes nothing; after a switch it must not show what was before. */
    void read(SimServer server, DataPlane.Connection connection, SimNode node) {
        if (server.name().equals(route.fleet()) || !answered) {
            return;
        }
        throw new LawBroken("L4: a client of " + node.name() + " reads from " + server.name()
                + " over a connection of " + connection.openedAt + ", and others have written to " + route
                + ", fenced at " + fencedAt + ", decided at " + decidedAt);
    }

    void acknowledged(long write, SimNode node) {
        if (acknowledged.add(write)) {
            answered |= node.epoch() == route.epoch();
        }
    }

    void demandNothingLost(SimServer server) {
        for (long write : acknowledged) {
            if (!server.has(write)) {
                throw new LawBroken("L1: " + server.name() + " takes clients at " + route + " and has not the write "
                        + write + ", which was acknowledged");
            }
        }
    }

    void fenced(SimServer server, Token by) {
        lastFenceAt = world.now();
        if (over.contains(by.number()) && server.name().equals(route.fleet())) {
            throw new LawBroken("L3: " + server.name() + " was fenced by " + by + ", which is over and was let go");
        }
    }

    // ---- the nodes

    void applies(SimNode node, SwitchId id, Verdict verdict, boolean mayBeAlone) {
        Verdict stands = recorded.get(id.toString());
        if (stands == null ? verdict == Verdict.COMMIT || !mayBeAlone : stands != verdict) {
            throw new LawBroken("L5: " + node.name() + " carries out " + verdict + " of " + id
                    + ", and the register says " + (stands == null ? "nothing" : stands));
        }
    }

    /** A node that has just started serves clients, on the route that it found. */
    void started(SimNode node) {
        SimServer server = world.server(route.fleet());
        if (node.epoch() == route.epoch() && server.up() && !server.primary() && lastFenceAt < decidedAt) {
            throw new LawBroken("L2: " + node.name() + " begins to serve on " + route + ", which is a replica");
        }
    }

    /** A participant serves clients again after its part in a switch. */
    void ended(SimNode node, SwitchId id, Verdict verdict) {
        if (verdict == Verdict.ABORT && recorded.containsKey(id.toString()) && !node.gaveUp()) {
            over.add(id.number());
        }
        SimServer server = world.server(route.fleet());
        if (verdict == Verdict.COMMIT && node.epoch() == route.epoch() && !node.gaveUp()) {
            if (server.up() && !server.primary() && lastFenceAt < decidedAt) {
                throw new LawBroken("L2: " + node.name() + " lets clients go to " + route + ", which is a replica");
            }
        }
    }

    void letGo(SimNode node, Route before, Route next) {
        if (next.epoch() < before.epoch()) {
            throw new LawBroken("L3: " + node.name() + " goes from " + before + " back to " + next);
        }
        if (next.epoch() > route.epoch()) {
            throw new LawBroken("L5: " + node.name() + " goes to " + next + ", and nobody has decided that");
        }
    }

    /** What is recorded, under the path where it is looked for. */
    private static final class OneEntry implements io.switchback.ledger.Ledger {
        private final Entry entry;

        OneEntry(Entry entry) {
            this.entry = entry;
        }

        @Override
        public Optional<Entry> read(String path) {
            return Optional.of(entry);
        }

        @Override
        public String id() {
            throw unused();
        }

        @Override
        public java.util.List<Entry> list(String prefix) {
            throw unused();
        }

        @Override
        public io.switchback.ledger.Outcome transact(java.util.List<io.switchback.ledger.Operation> operations) {
            throw unused();
        }

        @Override
        public void catchUp() {}

        @Override
        public io.switchback.ledger.Watch watch(String path, Runnable changed) {
            throw unused();
        }

        @Override
        public io.switchback.ledger.Lease announce(String name, byte[] value) {
            throw unused();
        }

        @Override
        public Map<String, byte[]> announced() {
            throw unused();
        }

        @Override
        public void close() {}

        private static UnsupportedOperationException unused() {
            return new UnsupportedOperationException("one entry is only read");
        }
    }
}
