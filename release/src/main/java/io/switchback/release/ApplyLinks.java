package io.switchback.release;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.RoleCommands;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerSettings;
import io.switchback.fleet.SlotSet;
import io.switchback.fleet.Token;
import io.switchback.fleet.Topology;
import io.switchback.release.CacheRecord.ShardCopy;
import io.switchback.release.ReleaseState.Side;
import io.switchback.sync.BackupManifest;
import io.switchback.sync.LinkBase;
import io.switchback.sync.LinkBreak;
import io.switchback.sync.LinkListener;
import io.switchback.sync.LinkStart;
import io.switchback.sync.LinkStatus;
import io.switchback.sync.LinkStatus.Phase;
import io.switchback.sync.apply.ApplyLink;
import io.switchback.sync.apply.ApplySettings;
import io.switchback.sync.apply.ClientLink;
import io.switchback.sync.apply.ScanLink;
import io.switchback.sync.source.Backlog;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;
import java.util.function.ToLongFunction;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Links that are clients of their target: one, or, from a cluster, one for each of its shards. No server changes its role. They follow their source's stream, or scan it where that is not to be had.
 *
 * <p>Links that scan have no place from which another could go on later. So those of the way back are opened before a switch, listen where clients will write ({@link #openAhead}), and are admitted while
 * nobody writes ({@link #admitAhead}); they write nothing before the switch is decided, or one that wakes up after another's abort would carry back what it hears. Where they were not, as when another node leads by then, the links of the way back look at every key first, and until they have there is none.
 *
 * <p>Owned by the release's thread; what the links tell from their own threads goes to {@link MovingCache#remember}.
 */
final class ApplyLinks implements CacheLinks {
    /** For so long a server may say nothing while it makes the snapshot by which it begins to keep its stream. */
    private static final Duration BACKLOG_SILENCE_MAX = Duration.ofSeconds(60);

    private static final Duration LISTENING_POLL = Duration.ofMillis(1);

    private static final List<Phase> WORST_FIRST = List.of(
            Phase.BROKEN,
            Phase.CLOSED,
            Phase.CLOSED_TO_TARGET,
            Phase.WAITING_FOR_TARGET,
            Phase.COPYING,
            Phase.STREAMING);

    private static final Logger LOG = LoggerFactory.getLogger(ApplyLinks.class);

    private final boolean scans;
    private final MovingCache cache;
    private final Path backupFolder;
    private final Environment environment;
    private volatile List<ShardLink> open = List.of();
    private volatile @Nullable Side source;
    private @Nullable Token openedBy;

    /** The link of one shard of the source. */
    record ShardLink(String slots, ClientLink link, Told told) {
        /** Closes it; what it tells from here on is about nothing that is there. */
        void close() {
            told.isOver = true;
            link.close();
        }
    }

    /** Links that listen at the fleet that a switch leads to. */
    private List<ShardLink> ahead = List.of();

    private @Nullable Side aheadOf;

    /** @param scans whether the links ask for keys, since nobody may follow the servers' streams */
    ApplyLinks(MovingCache cache, Path backupFolder, Environment environment, boolean scans) {
        this.scans = scans;
        this.cache = cache;
        this.backupFolder = backupFolder;
        this.environment = environment;
    }

    /** Those that flow, or are trying to, in the order of the source's shards. */
    List<ShardLink> open() {
        return open;
    }

    /** The shards of a fleet, as {@link SourceBase} writes them, in the order of {@link Topology#primaries}. */
    static List<String> shards(Topology topology) {
        return switch (topology) {
            case Topology.Replicated _ -> List.of(SourceBase.ALL);
            case Topology.Sharded sharded ->
                IntStream.range(0, sharded.shards().size())
                        .mapToObj(shard -> sharded.slotsOf(shard).toString())
                        .toList();
        };
    }

    /** The least slot of a shard; {@link ApplyLink#NO_SLOT} where the fleet is no cluster. */
    static int firstSlot(String slots) {
        return SourceBase.parse(slots).map(SlotSet::first).orElse(ApplyLink.NO_SLOT);
    }

    /** That shard of a fleet; the fleet itself where it is no cluster. */
    static FleetSpec shard(FleetSpec fleet, String slots) {
        int slot = firstSlot(slots);
        return slot == ApplyLink.NO_SLOT ? fleet : fleet.shard(slot);
    }

    /** The name of the link of one shard, where {@code whole} is that of all of them. */
    static String name(String whole, String slots) {
        return name(whole, firstSlot(slots));
    }

    /** As {@link #name(String, String)}, by the shard's first slot. */
    static String name(String whole, int slot) {
        return slot == ApplyLink.NO_SLOT ? whole : whole + "/" + slot;
    }

    static List<String> names(String whole, List<String> shards) {
        return shards.stream().map(slots -> name(whole, slots)).toList();
    }

    @Override
    public CacheSwitch toSwitch(SwitchPart part, CacheSwitch.Known known) {
        return new ApplySwitch(part, cache, this, known, environment);
    }

    @Override
    public Optional<LinkStatus> status() {
        List<LinkStatus> all =
                open.stream().map(ShardLink::link).map(ClientLink::status).toList();
        if (all.isEmpty()) {
            return Optional.empty();
        }
        return Optional.of(new LinkStatus(
                WORST_FIRST.stream()
                        .filter(phase -> all.stream().anyMatch(one -> one.phase() == phase))
                        .findFirst()
                        .orElseThrow(),
                sum(all, LinkStatus::sourceOffset),
                sum(all, LinkStatus::appliedSourceOffset),
                sum(all, LinkStatus::lagBytes),
                all.stream().mapToLong(LinkStatus::lagMillis).max().orElseThrow(),
                sum(all, LinkStatus::copiedBytes),
                sum(all, LinkStatus::copyBytesTotal),
                String.join(
                        "; ",
                        all.stream()
                                .map(LinkStatus::detail)
                                .filter(detail -> !detail.isEmpty())
                                .distinct()
                                .toList()),
                new LinkStatus.Speed(
                        sum(all, one -> one.copySpeed().bytesPerSecond()),
                        sum(all, one -> one.copySpeed().bytesPerSecondMax()),
                        sum(all, one -> one.copySpeed().bytesAtMost()))));
    }

    /** -1 where one of them is not known. */
    private static long sum(List<LinkStatus> all, ToLongFunction<LinkStatus> what) {
        return all.stream().mapToLong(what).anyMatch(value -> value < 0)
                ? -1
                : all.stream().mapToLong(what).sum();
    }

    // ---- the copy ----

    @Override
    public void startCopy() {
        close();
        FleetSpec fresh = cache.fleet(Side.NEW);
        List<String> shards = shards(cache.fleet(Side.OLD).topologyNow());
        keepStreams(fresh);
        cache.remember(now -> now.withCopyOf(shards));
        openCopies(Side.OLD, cache.remembered().copies());
    }

    @Override
    public boolean isMendedByCopy(LinkBreak kind, Side inUse) {
        return kind != LinkBreak.LED_AWAY && kind != LinkBreak.FINAL;
    }

    @Override
    public String whyNoCopyAgain(Side inUse) {
        return "";
    }

    /**
     * From the moment at which it is written down the other fleet counts as hollow, whoever leads: nobody is led there, and whoever finds it copies again.
     */
    @Override
    public void copyAgain(Side inUse, boolean goesOn) {
        close();
        List<String> shards = shards(cache.fleet(inUse).topologyNow());
        takeFromRelay(cache.fleet(inUse.other()));
        keepStreams(cache.fleet(inUse.other()));
        cache.demandStanding();
        cache.remember(now -> now.withCopyAgain(shards, goesOn));
        forgetFormerShards(inUse, shards);
        List<ShardCopy> copies = cache.remembered().again();
        openCopies(inUse, copies == null ? List.of() : copies);
        open.forEach(one -> one.link().confirmPromptly(cache.isProtected(inUse)));
    }

    /** A target that has followed a relay until now takes writes from here on, also should it be started again. It is written down already that it is not whole ({@link MovingCache#apply}). */
    private void takeFromRelay(FleetSpec target) {
        if (target.isCluster() || !cache.wasRelayed()) {
            return;
        }
        try (ServerConnection server = ServerConnection.open(target, MovingCache.SERVER_TIMEOUT)) {
            if (cache.isFollower(server)) {
                RelayLinks.demandChanged(RoleCommands.promote(server, cache.token()));
                ServerSettings.makeLasting(server);
            }
        }
    }

    /** Opens a link for each shard: one that is copied already goes on. */
    private void openCopies(Side from, List<ShardCopy> copies) {
        List<ShardLink> opened = new ArrayList<>();
        source = from;
        openedBy = cache.token();
        forgetHalfCopies(from, copies);
        cache.linksAreOpened();
        for (ShardCopy copy : copies) {
            cache.demandStanding();
            LinkBase base = copy.base();
            LinkStart start = base != null && copy.isComplete()
                    ? new LinkStart.Again(base)
                    : new LinkStart.FullCopy(backupFolder(copy));
            opened.add(open(from, copy.slots(), start));
            open = List.copyOf(opened);
        }
    }

    /** Where what passes is written beside; nowhere for a copy that is made again: the first one's files are there. */
    private Optional<Path> backupFolder(ShardCopy copy) {
        if (CacheRecord.NO_BACKUP.equals(copy.backup())) {
            return Optional.empty();
        }
        int slot = firstSlot(copy.slots());
        return Optional.of(slot == ApplyLink.NO_SLOT ? backupFolder : backupFolder.resolve("slot-" + slot));
    }

    /** What a former process has left is no copy that is known of; nor may that process go on. */
    private void forgetHalfCopies(Side from, List<ShardCopy> copies) {
        FleetSpec target = cache.fleet(from.other());
        List<String> names = names(
                cache.linkName(from),
                copies.stream()
                        .filter(copy -> !copy.isComplete())
                        .map(ShardCopy::slots)
                        .toList());
        names.forEach(name -> ApplyLink.shutOut(target, name, cache.token()));
        ApplyLink.forget(target, names);
    }

    /** Links of shards that are no more: nothing of them reaches the target, nor stays there. Their names are in the ledger, should that not be possible now. */
    private void forgetFormerShards(Side from, List<String> shards) {
        FleetSpec target = cache.fleet(from.other());
        List<Integer> now = shards.stream().map(ApplyLinks::firstSlot).toList();
        List<String> former = cache.remembered().namedBefore().stream()
                .filter(slot -> !now.contains(slot))
                .map(slot -> name(cache.linkName(from), slot))
                .toList();
        former.forEach(name -> ApplyLink.shutOut(target, name, cache.token()));
        ApplyLink.forget(target, former);
    }

    /** The links of the other direction will begin at a given point of each primary's stream. */
    private void keepStreams(FleetSpec fleet) {
        if (!scans) {
            fleet.topologyNow().primaries().forEach(primary -> keepStream(fleet, primary));
        }
    }

    /** A server that nobody has followed yet keeps none; nor does one that was started again. */
    static void keepStream(FleetSpec fleet, Endpoint primary) {
        try {
            Backlog.begin(
                    new FleetSpec(fleet.name(), new FleetAddress.Standalone(primary), fleet.credential(), fleet.tls()),
                    BACKLOG_SILENCE_MAX);
        } catch (IOException e) {
            throw new FleetException(
                    FleetException.Code.UNREACHABLE,
                    primary + " does not begin to keep its stream, from which the way back would begin: "
                            + e.getMessage(),
                    e);
        }
    }

    @Override
    public void copied() {}

    // ---- between switches ----

    @Override
    public void reopen(Side inUse) {
        List<SourceBase> bases = cache.remembered().bases();
        if (bases.isEmpty() || (source == inUse && isWhole(bases))) {
            return;
        }
        closeOpen();
        cache.demandStanding();
        source = inUse;
        openedBy = cache.token();
        cache.linksAreOpened();
        List<ShardLink> listening = takeAhead(inUse, bases);
        List<ShardLink> opened = new ArrayList<>(listening);
        for (SourceBase base : listening.isEmpty() ? bases : List.<SourceBase>of()) {
            LinkStart start = base.noted() ? new LinkStart.Again(base.base()) : new LinkStart.From(base.base());
            opened.add(open(inUse, base.slots(), start));
        }
        open = List.copyOf(opened);
        open.forEach(one -> one.link().confirmPromptly(cache.isProtected(inUse)));
        cache.wasReopened();
    }

    // ---- links that scan, before and in a switch ----

    boolean scan() {
        return scans;
    }

    /** Has links of the way back listen at the fleet that a switch leads to, and waits until they do. */
    void openAhead(Side to, List<String> shards, Deadline deadline) {
        closeAhead();
        List<ShardLink> opened = new ArrayList<>();
        aheadOf = to;
        for (String slots : shards) {
            opened.add(open(to, slots, new LinkStart.Later()));
            ahead = List.copyOf(opened);
        }
        try {
            awaitListening(to, deadline);
        } catch (ReleaseException e) {
            closeAhead();
            throw e;
        }
    }

    private void awaitListening(Side to, Deadline deadline) {
        while (!ahead.stream().allMatch(one -> scanning(one).isListening())) {
            String detail = ahead.stream()
                    .map(one -> one.link().status().detail())
                    .filter(one -> !one.isEmpty())
                    .findFirst()
                    .orElse("");
            boolean broken = ahead.stream().anyMatch(one -> one.link().status().phase() == Phase.BROKEN);
            if (broken || deadline.passed()) {
                throw failed("the link of the way back is not told of changes at "
                        + cache.fleet(to).name() + (detail.isEmpty() ? "" : ": " + detail));
            }
            LockSupport.parkNanos(LISTENING_POLL.toNanos());
        }
    }

    /** Both fleets are equal now, and nobody writes: what is written from here on those links will carry, once {@link #reopen} has them begin. False where one may have missed something, and has to look at every key. */
    boolean admitAhead(List<SourceBase> begins, Deadline deadline) {
        boolean all = ahead.size() == begins.size();
        for (int i = 0; i < Math.min(ahead.size(), begins.size()); i++) {
            all &= scanning(ahead.get(i)).admit(begins.get(i).base(), deadline);
        }
        return all;
    }

    /** Has those begin that were admitted there, if they are for the same places. */
    private List<ShardLink> takeAhead(Side inUse, List<SourceBase> bases) {
        List<ShardLink> listening = ahead;
        boolean same = aheadOf == inUse
                && listening.stream()
                        .map(ShardLink::slots)
                        .toList()
                        .equals(bases.stream().map(SourceBase::slots).toList());
        if (!same) {
            closeAhead();
            return List.of();
        }
        ahead = List.of();
        aheadOf = null;
        listening.forEach(one -> scanning(one).begin());
        return listening;
    }

    void closeAhead() {
        List<ShardLink> closing = ahead;
        ahead = List.of();
        aheadOf = null;
        closing.forEach(ShardLink::close);
    }

    private static ScanLink scanning(ShardLink one) {
        if (one.link() instanceof ScanLink link) {
            return link;
        }
        throw new IllegalStateException(one.link().name() + " does not scan");
    }

    private boolean isWhole(List<SourceBase> bases) {
        List<ShardLink> now = open;
        if (now.size() != bases.size()) {
            return false;
        }
        if (now.stream().anyMatch(one -> one.link().status().phase() == Phase.BROKEN)) {
            return true; // and stays so, until a copy is made again: what it was broken for does not go away
        }
        // One that was opened before the last switch that was given up ends at that switch's note.
        return cache.token().equals(openedBy)
                && now.stream()
                        .noneMatch(one ->
                                one.link().isFrozen() || one.link().status().phase() == Phase.CLOSED);
    }

    /** Opens links again that have ended; remembers, once all flow, that they have been there. */
    @Override
    public void lookAfterTarget(Side inUse) {
        if (source != inUse) {
            return;
        }
        if (inUse == Side.NEW && cache.remembered().again() != null) {
            // A copy takes it away: the key by which a node whose ledger is lost is kept from a fleet that is not to be
            // used.
            offerTokenIfItAnswers(cache.fleet(Side.OLD));
        }
        cache.reopenLinkIfItAnswers(inUse);
        boolean allFlow = !open.isEmpty()
                && open.stream().allMatch(one -> one.link().status().phase() == Phase.STREAMING);
        if (allFlow && cache.remembered().bases().stream().anyMatch(base -> !base.noted())) {
            cache.remember(CacheRecord::withAllNoted);
        }
    }

    /** The links' owners are told apart by their tokens already; this one is for a node that starts without its ledger. */
    @Override
    public void takeOver(Side inUse) {
        offerToken(cache.fleet(inUse), cache);
    }

    private void offerTokenIfItAnswers(FleetSpec fleet) {
        try {
            offerToken(fleet, cache);
        } catch (FleetException e) {
            LOG.warn("cache {}: {}", cache.name(), e.getMessage());
        }
    }

    static void offerToken(FleetSpec fleet, MovingCache cache) {
        Endpoint primary = fleet.topologyNow().primaryOf(RoleCommands.TOKEN_SLOT);
        try (ServerConnection server = MovingCache.connect(fleet, primary)) {
            RoleCommands.offerToken(server, cache.token());
        }
    }

    private ShardLink open(Side from, String slots, LinkStart start) {
        ApplySettings settings = new ApplySettings(
                name(cache.linkName(from), slots),
                cache.remembered().secret(),
                cache.token(),
                shard(cache.fleet(from), slots),
                cache.fleet(from.other()),
                start,
                SourceBase.parse(slots),
                cache.copyLimits(),
                cache.carriedFrom(from));
        Told told = new Told(from, slots);
        return new ShardLink(
                slots,
                scans ? ScanLink.open(settings, environment, told) : ApplyLink.open(settings, environment, told),
                told);
    }

    @Override
    public void close() {
        closeAhead();
        closeOpen();
    }

    private void closeOpen() {
        List<ShardLink> closing = open;
        open = List.of();
        source = null;
        openedBy = null;
        closing.forEach(ShardLink::close);
    }

    /** Removes all that links of either direction keep at the fleets' servers, those of former shards too. A fleet that does not answer keeps it. */
    static void forget(MovingCache cache, Side at) {
        List<Topology> topologies = new ArrayList<>();
        for (Side side : Side.values()) {
            try {
                topologies.add(cache.fleet(side).topologyNow());
            } catch (FleetException e) {
                LOG.info(
                        "cache {}: the links of {} are forgotten as they were known last: {}",
                        cache.name(),
                        side,
                        e.getMessage());
            }
        }
        ApplyLink.forget(cache.fleet(at), names(cache.remembered(), cache.releaseName(), topologies));
    }

    /** The names of all links that a release has had for a cache, and of those that it would have with fleets that stand like that. */
    static List<String> names(CacheRecord record, String release, List<Topology> topologies) {
        Set<Integer> slots = new LinkedHashSet<>(record.namedBefore());
        record.copies().forEach(copy -> slots.add(firstSlot(copy.slots())));
        record.bases().forEach(base -> slots.add(firstSlot(base.slots())));
        topologies.forEach(topology -> shards(topology).forEach(shard -> slots.add(firstSlot(shard))));
        return Arrays.stream(Side.values())
                .map(source -> MovingCache.linkName(release, record.cache(), source))
                .flatMap(whole -> slots.stream().map(slot -> name(whole, slot)))
                .toList();
    }

    private ReleaseException failed(String why) {
        return new ReleaseException(ReleaseException.Code.STEP_FAILED, "cache " + cache.name() + ": " + why);
    }

    /** What a link tells, on its own threads. */
    private final class Told implements LinkListener {
        private final Side from;
        private final String slots;
        /** Whether its link is another's predecessor by now. */
        private volatile boolean isOver;

        Told(Side from, String slots) {
            this.from = from;
            this.slots = slots;
        }

        @Override
        public void based(LinkBase base) {
            remember(now -> {
                if (now.again() != null || !scans) {
                    return now.withCopied(slots, base);
                }
                return from == Side.OLD && !now.isCopied() ? now.withCopiedAlone(slots, base) : now;
            });
        }

        @Override
        public void sourceIdChanged(String id) {
            remember(now -> source == from ? now.withSourceId(slots, id) : now);
        }

        @Override
        public void copied(BackupManifest manifest) {
            remember(now -> now.withBackup(slots, manifest.file().toString()));
        }

        private void remember(UnaryOperator<CacheRecord> change) {
            cache.remember(now -> isOver ? now : change.apply(now));
        }

        @Override
        public String whyNotStanding() {
            return cache.whyNotStanding();
        }

        /** It was left by the switch that has led clients to this link's source, and has the notes of that since then. */
        @Override
        public String whyTargetLost() {
            FleetSpec left = cache.fleet(from.other());
            Map<Integer, String> names = new HashMap<>();
            cache.remembered().namedBefore().forEach(slot -> names.put(slot, name(cache.linkName(from.other()), slot)));
            return ApplyLink.hasNotes(left, names)
                    ? ""
                    : "fleet " + left.name()
                            + " has not got the note any more that it was left, by which it is known to be"
                            + " what it was: a server of it was emptied, or has come back without its data";
        }

        @Override
        public void broken(LinkBreak kind, String why) {
            if (!isOver) {
                cache.linkIsBroken(
                        kind, slots.equals(SourceBase.ALL) ? why : "the link of slots " + slots + ": " + why);
            }
        }
    }
}
