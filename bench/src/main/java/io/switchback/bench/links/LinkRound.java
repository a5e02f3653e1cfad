package io.switchback.bench.links;

import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.RoleChange;
import io.switchback.fleet.RoleCommands;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.Token;
import io.switchback.sync.LinkBase;
import io.switchback.sync.apply.ApplyLink;
import io.switchback.sync.source.Backlog;
import io.switchback.sync.verify.Difference;
import io.switchback.sync.verify.Verification;
import io.switchback.sync.verify.VerificationReport;
import io.switchback.sync.verify.VerificationSettings;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.values.EveryForm;
import io.switchback.testkit.values.RandomWrites;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * One round: two fleets, of which one is filled with every form of every type and carried to the other while clients write, the links' process is killed, connections are cut and servers
 * killed; both sides are compared; then the same from the other side back, without a copy.
 *
 * <p>What the round does follows from its seed; when exactly it hits what, only the machine knows.
 */
final class LinkRound implements AutoCloseable {
    private static final Duration SILENCE_MAX = Duration.ofSeconds(30);
    private static final Duration TIME_TOLERANCE = Duration.ofMillis(500);
    private static final int WRITING_CLIENTS = 2;
    private static final int COUNTING_CLIENTS = 2;
    private static final long WRITE_PAUSE_NANOS = 500_000;

    private static final int MOMENT_MS_MAX = 500;
    private static final int SOON_MS_MAX = 400;
    private static final int AWAY_MS_MAX = 200;
    private static final int DIFFERENCES_SHOWN_MAX = 5;

    private final RoundPlan plan;
    private final int kills;
    private final Path folder;
    private final SplittableRandom random;
    private final CampaignFleet blue;
    private final CampaignFleet green;
    private final Counting counting = new Counting();
    private final List<LinkOwner> owners = new ArrayList<>();
    private final List<RandomWrites> writing = new ArrayList<>();
    private final List<String> events = new ArrayList<>();
    private final long beganNanos = System.nanoTime();
    private final Counts counts = new Counts();
    private long longestGapNanos;

    /** What was done and seen; mutable, of the round's thread. */
    private static final class Counts {
        int killed;
        int cut;
        int restarted;
        int changed;
        int closed;
        long snapshots;
        long compared;
        long listed;
        long written;
    }

    /**
     * How a round ended.
     *
     * @param problem empty where all that it promises held
     * @param changed how often a slot has moved, or another server has become the primary
     * @param closed 1 where the round ended early, as a relay's target below 7.0 forgets its place when it is cut off in the middle of its handshake (docs/relay.md)
     * @param snapshots that were asked of servers that were a source, over both directions
     * @param compared keys, over both directions
     * @param listed differences that are on the list of what cannot be expressed
     * @param written commands of clients
     */
    record Outcome(
            RoundPlan plan,
            String problem,
            int killed,
            int cut,
            int restarted,
            int changed,
            int closed,
            long snapshots,
            long compared,
            long listed,
            long written,
            long counted,
            double seconds,
            List<String> events) {}

    LinkRound(RoundPlan plan, int kills, Path folder) {
        this.plan = plan;
        this.kills = kills;
        this.folder = folder;
        this.random = new SplittableRandom(plan.seed() + 1_000_003);
        this.blue = CampaignFleet.start("blue", plan.source(), plan.sourceShape(), folder, plan);
        @Nullable CampaignFleet other = null;
        try {
            other = CampaignFleet.start("green", plan.target(), plan.targetShape(), folder, plan);
        } finally {
            if (other == null) {
                blue.close();
            }
        }
        this.green = other;
    }

    Outcome run() {
        String problem = "";
        try {
            blue.fill(green.isCluster());
            // A hash of which all fields have run out counts as there until the server looks for it.
            if (plan.expiresByItself() || EveryForm.knowsFieldExpiry(blue.binary())) {
                blue.primaries().forEach(server -> server.call("DEBUG", "SET-ACTIVE-EXPIRE", "1"));
            }
            note("filled " + blue + ", to go to " + green);
            if (plan.kind().equals("relay")) {
                relay();
            } else {
                apply();
            }
        } catch (LostPlace e) {
            counts.closed = 1;
            note("closed: " + e.getMessage());
        } catch (RuntimeException | IOException | AssertionError e) {
            problem = e.getClass().getSimpleName() + ": " + e.getMessage();
            note(problem);
            for (StackTraceElement at : e.getStackTrace()) {
                if (at.getClassName().startsWith("io.switchback")) {
                    note("    at " + at);
                }
            }
        }
        return new Outcome(
                plan,
                problem,
                counts.killed,
                counts.cut,
                counts.restarted,
                counts.changed,
                counts.closed,
                counts.snapshots,
                counts.compared,
                counts.listed,
                counts.written,
                counting.total(),
                (System.nanoTime() - beganNanos) / 1e9,
                events);
    }

    // ---- links that apply ----

    private void apply() throws IOException {
        keepStreams(green);
        LinkOwner forward = keep(LinkOwner.copying(folder, "apply", "forward", blue, green));
        carry(forward, blue, green, true);
        forward.end();
        keepStreams(green); // again, where a server was restarted
        List<LinkBase> bases = new ArrayList<>();
        for (CampaignFleet.Shard shard : green.shards()) {
            try (ServerConnection server = CampaignFleet.connect(shard.primary())) {
                bases.add(ApplyLink.begin(server, LinkOwner.linkName("back", shard)));
            }
        }
        note("the way back begins at " + bases);
        LinkOwner back = keep(LinkOwner.from(folder, "apply", "back", green, blue, bases));
        carry(back, green, blue, false);
        back.end();
    }

    private static void keepStreams(CampaignFleet fleet) throws IOException {
        for (RealServer server : fleet.primaries()) {
            Backlog.begin(CampaignFleet.alone(server), SILENCE_MAX);
        }
    }

    // ---- relays ----

    private void relay() {
        RealServer a = blue.servers().getFirst();
        RealServer b = green.servers().getFirst();
        LinkOwner forward = keep(LinkOwner.copying(folder, "relay", "forward", blue, green));
        follow(b, forward);
        carry(forward, blue, green, true);
        LinkOwner back = keep(LinkOwner.later(folder, "back", green, blue));
        back.start();
        Token token = Token.open(1, "campaign");
        try (ServerConnection from = CampaignFleet.connect(a);
                ServerConnection to = CampaignFleet.connect(b)) {
            RoleCommands.writeToken(from, token);
            forward.awaitApplied(0, CampaignFleet.offset(a));
            RoleChange.Changed fenced =
                    changed(RoleCommands.follow(from, new Endpoint("127.0.0.1", back.port()), token));
            long drained = forward.awaitApplied(0, fenced.offsetAtChange());
            RoleChange.Changed promoted = changed(RoleCommands.promote(to, token));
            if (promoted.offsetAtChange() != drained) {
                throw new AssertionError("promoted at " + promoted.offsetAtChange() + ", drained to " + drained);
            }
            forward.end();
            back.admit(new LinkBase(
                    promoted.after().id(),
                    promoted.offsetAtChange(),
                    fenced.after().id(),
                    fenced.offsetAtChange()));
        }
        note("switched");
        carry(back, green, blue, false);
        back.end();
    }

    private static void follow(RealServer server, LinkOwner link) {
        server.call("REPLICAOF", "127.0.0.1", Integer.toString(link.port()));
    }

    private static RoleChange.Changed changed(RoleChange change) {
        return switch (change) {
            case RoleChange.Changed done -> done;
            case RoleChange.Refused(String why) -> throw new AssertionError("a role was not changed: " + why);
        };
    }

    // ---- one direction ----

    private LinkOwner keep(LinkOwner owner) {
        owners.add(owner);
        return owner;
    }

    /** Clients write to {@code from}, the links' process dies again and again; in the end both sides are equal. */
    private void carry(LinkOwner links, CampaignFleet from, CampaignFleet to, boolean forward) {
        Map<RealServer, Long> before = new TreeMap<>(Comparator.comparingInt(RealServer::port));
        from.servers().forEach(server -> before.put(server, CampaignFleet.snapshots(server)));
        beginWriting(from, to);
        try {
            long stillSince = System.nanoTime();
            boolean runs = !forward && plan.kind().equals("relay");
            for (int i = 0; i < half(forward); i++) {
                if (!runs) {
                    links.start();
                }
                boolean soon = random.nextInt(3) == 0;
                if (soon) {
                    links.awaitWord();
                    pause(random.nextInt(SOON_MS_MAX));
                } else {
                    awaitFlow(links, to);
                    longestGapNanos = Math.max(longestGapNanos, System.nanoTime() - stillSince);
                    pause(random.nextInt(MOMENT_MS_MAX));
                    disturb(links, from, to);
                    stillSince = System.nanoTime();
                }
                links.kill();
                runs = false;
                counts.killed++;
                note((forward ? "forward" : "back") + ": killed " + (soon ? "soon" : "later"));
                pause(random.nextInt(AWAY_MS_MAX));
            }
            if (!runs) {
                links.start();
            }
            awaitFlow(links, to);
            longestGapNanos = Math.max(longestGapNanos, System.nanoTime() - stillSince);
            pause(random.nextInt(MOMENT_MS_MAX));
        } finally {
            endWriting();
        }
        awaitFlow(links, to);
        List<CampaignFleet.Shard> shards = from.shards();
        for (int shard = 0; shard < shards.size(); shard++) {
            links.awaitApplied(shard, CampaignFleet.offset(shards.get(shard).primary()));
        }
        note("drained");
        compare(from, to, forward);
        demandFewSnapshots(links, from, before, forward);
    }

    /** A target below 7.0 that is cut off before it has its answer asks for a full copy, which its link refuses, and says so. */
    private static final class LostPlace extends RuntimeException {
        private static final long serialVersionUID = 1;

        LostPlace(String why) {
            super(why);
        }
    }

    private void awaitFlow(LinkOwner links, CampaignFleet to) {
        try {
            links.awaitFlow();
        } catch (AssertionError e) {
            boolean forgets = plan.kind().equals("relay") && !EveryForm.knows(to.binary(), 7, 0);
            if (forgets && links.broken().contains("asks for a full copy")) {
                throw new LostPlace(links.broken());
            }
            throw e;
        }
    }

    private int half(boolean forward) {
        return forward ? (kills + 1) / 2 : kills / 2;
    }

    /** Once a process that has been killed is up again, something else may happen to its connections. */
    private void disturb(LinkOwner links, CampaignFleet from, CampaignFleet to) {
        if (!links.isBased()) {
            return;
        }
        switch (random.nextInt(5)) {
            case 0 -> {
                RealServer source = any(from);
                source.call("CLIENT", "KILL", "TYPE", "replica");
                counts.cut++;
                note("cut from " + source);
            }
            case 1 -> {
                RealServer target = any(to);
                target.call("CLIENT", "KILL", "TYPE", plan.kind().equals("relay") ? "master" : "normal");
                counts.cut++;
                note("cut from " + target);
            }
            case 2 -> {
                if (plan.restarts()) {
                    RealServer target = any(to);
                    target.kill();
                    pause(random.nextInt(AWAY_MS_MAX));
                    target.restart();
                    counts.restarted++;
                    note("killed and started again " + target);
                }
            }
            case 3 -> {
                if (!plan.changes()) {
                    return;
                }
                change(from, to);
            }
            default -> {
                return;
            }
        }
        pause(random.nextInt(MOMENT_MS_MAX));
        if (random.nextBoolean()) {
            awaitFlow(links, to);
        }
    }

    /** The fleets themselves change, where they are such: links go on over it. */
    private void change(CampaignFleet from, CampaignFleet to) {
        if (to.isCluster() && random.nextBoolean()) {
            int slot = random.nextInt(RealCluster.SLOTS);
            to.moveSlot(slot);
            counts.changed++;
            note("moved slot " + slot + " of " + to);
            return;
        }
        CampaignFleet changing = from.isWatched() && (!to.isWatched() || random.nextBoolean()) ? from : to;
        if (changing.isWatched()) {
            endWriting();
            changing.failOver();
            beginWriting(from, to);
            counts.changed++;
            note("another primary of " + changing + ": " + any(changing));
        }
    }

    private RealServer any(CampaignFleet fleet) {
        List<RealServer> primaries = fleet.primaries();
        return primaries.get(random.nextInt(primaries.size()));
    }

    private void beginWriting(CampaignFleet from, CampaignFleet to) {
        boolean fieldTimes = EveryForm.knowsFieldExpiry(from.binary()) && EveryForm.knowsFieldExpiry(to.binary());
        for (RealServer server : from.primaries()) {
            String tag = from.tagOn(server);
            writing.add(new RandomWrites(
                    server,
                    WRITING_CLIENTS,
                    tag,
                    new RandomWrites.Extent(random.nextLong(), WRITE_PAUSE_NANOS, true, fieldTimes)));
            for (int client = 0; client < COUNTING_CLIENTS; client++) {
                counting.begin(server, "counted" + client + tag);
            }
        }
    }

    private void endWriting() {
        try {
            counting.end();
        } finally {
            writing.forEach(RandomWrites::end);
            counts.written += writing.stream().mapToLong(RandomWrites::written).sum();
            try {
                writing.forEach(RandomWrites::close);
            } finally {
                writing.clear();
            }
        }
    }

    // ---- what must hold ----

    private void compare(CampaignFleet from, CampaignFleet to, boolean forward) {
        VerificationReport report = Verification.run(
                VerificationSettings.defaults()
                        .withBusyShareMax(1)
                        .withTimeToLiveTolerance(TIME_TOLERANCE.plusNanos(longestGapNanos)),
                from.spec(),
                to.spec(),
                Environment.system(),
                progress -> {},
                () -> false);
        counts.compared += report.keysChecked();
        List<Difference> unlisted = new ArrayList<>();
        for (Difference difference : report.differences()) {
            if (isListed(difference, from, to)) {
                counts.listed++;
            } else {
                unlisted.add(difference);
            }
        }
        note("compared " + report.keysChecked() + " keys, " + report.differenceCount() + " differences, notes "
                + report.notes() + ", not comparable " + report.keysNotComparable());
        if (!unlisted.isEmpty()
                || report.differenceCount() > report.differences().size()
                || !report.complete()) {
            throw new AssertionError(unlisted.size() + " keys differ (" + (forward ? "forward" : "back") + ", "
                    + report.differenceCount() + " with those that are listed, complete: " + report.complete() + "): "
                    + unlisted.subList(0, Math.min(DIFFERENCES_SHOWN_MAX, unlisted.size())));
        }
        if (report.keysMoving() > 0) {
            throw new AssertionError("keys move although nobody writes: " + report.movingKeys());
        }
        Map<String, String> wrong = counting.wrong(to);
        wrong.putAll(counting.wrong(from));
        if (!wrong.isEmpty()) {
            throw new AssertionError("counters: " + wrong);
        }
        if (forward && EveryForm.knows(from.binary(), 7, 0) && EveryForm.knows(to.binary(), 7, 0)) {
            for (RealServer server : to.primaries()) {
                if (!String.valueOf(server.call("FUNCTION", "LIST")).contains("everyform")) {
                    throw new AssertionError(server + " lacks the library of functions");
                }
            }
        }
    }

    /** docs/types.md: times of fields below Redis 7.4 and Valkey 9, vector sets but for Redis 8. They stay as they were where they came from. */
    private static boolean isListed(Difference difference, CampaignFleet from, CampaignFleet to) {
        boolean fieldTimes = EveryForm.knowsFieldExpiry(from.binary()) && EveryForm.knowsFieldExpiry(to.binary());
        boolean vectorSets = EveryForm.knowsVectorSets(from.binary()) && EveryForm.knowsVectorSets(to.binary());
        return (difference.key().startsWith("fieldtimes:") && !fieldTimes)
                || (difference.key().equals("vectors") && !vectorSets);
    }

    /** A source is asked for one snapshot by each process that knew of no complete copy yet, and for none by any other. */
    private void demandFewSnapshots(
            LinkOwner links, CampaignFleet from, Map<RealServer, Long> before, boolean forward) {
        if (from.isWatched() && from.failedOver() > 0) {
            return; // its own servers copied from each other, too
        }
        for (RealServer server : from.primaries()) {
            long taken = CampaignFleet.snapshots(server) - before.getOrDefault(server, 0L);
            counts.snapshots += taken;
            if (taken > links.startsWithoutBase() || (forward && taken == 0)) {
                throw new AssertionError(server + " was asked for " + taken + " snapshots, where "
                        + links.startsWithoutBase() + " processes began without a copy");
            }
        }
    }

    private void note(String what) {
        events.add(String.format("%7.2f %s", (System.nanoTime() - beganNanos) / 1e9, what));
    }

    private static void pause(int millis) {
        LockSupport.parkNanos(Duration.ofMillis(millis).toNanos());
    }

    @Override
    public void close() {
        writing.forEach(RandomWrites::end);
        owners.forEach(LinkOwner::close);
        green.close();
        blue.close();
    }
}
