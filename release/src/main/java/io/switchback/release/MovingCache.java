package io.switchback.release;

import io.switchback.environment.Environment;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ReplicationState;
import io.switchback.fleet.RoleChange;
import io.switchback.fleet.RoleCommands;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerSettings;
import io.switchback.fleet.Token;
import io.switchback.fleet.dialect.Dialects;
import io.switchback.fleet.dialect.StreamTranslator;
import io.switchback.ledger.Claim;
import io.switchback.proxy.CacheProxy;
import io.switchback.proxy.ProtectionState;
import io.switchback.release.ReleaseState.Side;
import io.switchback.sync.BackupManifest;
import io.switchback.sync.LinkBase;
import io.switchback.sync.LinkListener;
import io.switchback.sync.LinkSettings;
import io.switchback.sync.LinkStart;
import io.switchback.sync.LinkStatus;
import io.switchback.sync.RelayLink;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One cache of a release: its two fleets, the one link between them, and what the ledger remembers of both.
 *
 * <p>The link's source is always the fleet in use, so there is never more than one link that flows; the other direction's face
 * is bound only within a switch. Owned by the release's thread; what a link tells from its own threads is written through
 * {@link #remember}, under this object's lock.
 */
final class MovingCache implements AutoCloseable {
    /** How long a server may take to connect or to answer an administration command. */
    static final Duration SERVER_TIMEOUT = Duration.ofSeconds(5);
    /** For a look that can be repeated; the release has other things to do meanwhile. */
    private static final Duration LOOK_LIMIT = Duration.ofMillis(500);

    private static final Logger LOG = LoggerFactory.getLogger(MovingCache.class);

    private final String release;
    private final ReleaseStore store;
    private final FleetSpec oldFleet;
    private final FleetSpec newFleet;
    private final CacheProxy proxy;
    private final Protect protect;
    private final Path backupFolder;
    private final Environment environment;
    private final Dialects dialects = new Dialects();
    private volatile Token token;
    private final Claim claim;
    private CacheRecord record;
    private @Nullable RelayLink link;
    private @Nullable Side linkSource;
    private volatile boolean reopened;
    private String cannotPoint = "";
    /** Whether the target was told of the link that is there; else opening it is not complete, and tried again. */
    private volatile boolean pointed = true;

    private volatile @Nullable String linkBroken;

    MovingCache(
            String release,
            ReleaseStore store,
            CacheRecord record,
            ManagedCache cache,
            Protect protect,
            Claim claim,
            Path backupFolder,
            Environment environment) {
        this.release = release;
        this.store = store;
        this.record = record;
        this.claim = claim;
        this.token = Token.open(
                claim.holder().term(), release + " led by " + claim.holder().node());
        this.protect = protect;
        this.proxy = cache.proxy();
        this.oldFleet = cache.fleet(record.from());
        this.newFleet = cache.fleet(record.to());
        this.backupFolder = backupFolder;
        this.environment = environment;
    }

    String name() {
        return record.cache();
    }

    FleetSpec fleet(Side side) {
        return side == Side.OLD ? oldFleet : newFleet;
    }

    synchronized CacheRecord remembered() {
        return record;
    }

    /** Writes down what has changed, before anybody acts on it. */
    synchronized void remember(java.util.function.UnaryOperator<CacheRecord> change) {
        CacheRecord changed = change.apply(record);
        store.save(release, changed);
        record = changed;
    }

    ServerConnection connect(Side side) {
        return ServerConnection.open(fleet(side), SERVER_TIMEOUT);
    }

    /** Whether the fleet's server answers at all, within {@link #SERVER_TIMEOUT}. */
    boolean answers(Side side) {
        try (ServerConnection server = connect(side)) {
            server.call("PING");
            return true;
        } catch (FleetException e) {
            LOG.warn("release {}, cache {}: {}", release, name(), e.getMessage());
            return false;
        }
    }

    /** The link that flows, or is trying to; empty before the copy began and within a switch. */
    synchronized Optional<RelayLink> link() {
        return Optional.ofNullable(link);
    }

    /** Where the link stands; empty while there is none. */
    Optional<LinkStatus> linkStatus() {
        return link().map(RelayLink::status);
    }

    /** Why the link cannot go on by partial resync; null as long as it can. */
    @Nullable
    String linkBroken() {
        String why = linkBroken;
        return why == null ? remembered().unequalBecause() : why;
    }

    // ---- the copy ----

    /** Makes the new fleet a replica of the old one, through a link that starts with a full copy. Repeatable. */
    void startCopy() {
        closeLink();
        try (ServerConnection target = connect(Side.NEW)) {
            RelayLink copying = open(Side.OLD, new LinkStart.FullCopy(Optional.of(backupFolder)), target);
            adopt(copying, Side.OLD);
            copying.admit();
            claim.demandStanding();
            // As a replica it has the token of whoever made it one, or will have it with the copy.
            RoleCommands.offerToken(target, token);
            demandChanged(RoleCommands.follow(target, copying.face(), token));
        }
    }

    /** Whether the copy is complete and the stream flows. */
    boolean copied() {
        CacheRecord now = remembered();
        return now.base() != null && now.backup() != null;
    }

    // ---- the link between switches ----

    /** Opens the link from the fleet in use to the other one again, where the ledger says it began. Repeatable. */
    void reopenLink(Side inUse) {
        LinkBase base = remembered().base();
        if (base == null
                || (linkSource == inUse
                        && pointed
                        && link().filter(one -> !one.isFrozen()).isPresent())) {
            return;
        }
        closeLink();
        try (ServerConnection target = connect(inUse.other())) {
            RelayLink again = open(inUse, new LinkStart.From(base), target);
            adopt(again, inUse);
            pointed = false;
            again.admit();
            pointTo(target, again);
            pointed = true;
            reopened = true;
        }
    }

    /** Whether there was a time since the copy in which no link watched the source. */
    boolean reopened() {
        return reopened;
    }

    /** As {@link #reopenLink}, where nobody may wait for a server that is not in use: the release tries again later. */
    void reopenLinkIfItAnswers(Side inUse) {
        try {
            reopenLink(inUse);
        } catch (FleetException e) {
            LOG.warn("release {}, cache {}: the link is not open yet: {}", release, name(), e.getMessage());
        }
    }

    /** Sees to it that the follower connects to the link's face: after a node's restart the port may be another one. */
    void pointTo(ServerConnection follower, RelayLink to) {
        ReplicationState state = ReplicationState.read(follower);
        if (state.role() == ReplicationState.Role.PRIMARY) {
            linkIsBroken(follower.endpoint() + " is a primary, although it should follow: somebody changed its role,"
                    + " or it was restarted and its role was not in its config file");
            return;
        }
        if (!follows(state, to)) {
            demandChanged(follow(follower, to));
        }
    }

    private static boolean follows(ReplicationState state, RelayLink link) {
        return state.primary().equals(Optional.of(link.face()));
    }

    private RoleChange follow(ServerConnection follower, RelayLink to) {
        claim.demandStanding();
        return RoleCommands.follow(follower, to.face(), token);
    }

    /**
     * Between switches: a target that follows somebody else, while the link waits for it, is told to follow the link. A leader that was cut
     * off may have told it otherwise before it learnt that it leads no more (until the copy there is no token that would keep it from that), and
     * so may a person. One that became a primary is the link's to judge; one that does not answer, or does not let itself be told (it
     * loads a copy, say), is asked again at the next look.
     */
    void pointAgain(Side inUse) {
        RelayLink waiting = link().filter(one -> one.status().phase() == LinkStatus.Phase.WAITING_FOR_TARGET)
                .orElse(null);
        if (waiting == null || linkSource != inUse || linkBroken() != null) {
            return;
        }
        try (ServerConnection target = ServerConnection.open(fleet(inUse.other()), LOOK_LIMIT)) {
            ReplicationState state = ReplicationState.read(target);
            boolean ledAway = state.role() == ReplicationState.Role.REPLICA && !follows(state, waiting);
            RoleChange change = ledAway ? follow(target, waiting) : null;
            cannotPoint(change instanceof RoleChange.Refused(String why) ? why : "");
        } catch (FleetException e) {
            cannotPoint(String.valueOf(e.getMessage()));
        }
    }

    /** Said once, until it is another reason or none. */
    private void cannotPoint(String why) {
        if (!why.isEmpty() && !why.equals(cannotPoint)) {
            LOG.warn(
                    "release {}, cache {}: the fleet that follows cannot be told to follow the link: {}",
                    release,
                    name(),
                    why);
        }
        cannotPoint = why;
    }

    /** Binds the face that {@code follower} will be told to follow; nobody is let in before the base is known. */
    RelayLink openAhead(Side source, ServerConnection follower) {
        return open(source, new LinkStart.Later(), follower);
    }

    String releaseName() {
        return release;
    }

    /** The name of the link whose source is that fleet. */
    String linkName(Side source) {
        return linkName(release, name(), source);
    }

    static String linkName(String release, String cache, Side source) {
        return release + "/" + cache + (source == Side.OLD ? "/forward" : "/reverse");
    }

    // ---- who may change roles ----

    /** The token by which this node changes roles now: that of its term, or of the last switch. */
    Token token() {
        return token;
    }

    /** A switch has begun, or was closed: from now on its token is the one that the servers must hold, or an older one. */
    void token(Token newer) {
        if (token.isOlderThan(newer)) {
            token = newer;
        }
    }

    /**
     * Makes whoever led this release before powerless at the server in use: what it still sends there is refused from now on. Its follower
     * gets to know by the stream.
     *
     * @param fresh drawn since this node leads, so newer than whatever anybody has drawn who led before
     */
    void takeOver(Side inUse, Token fresh) {
        token(fresh);
        try (ServerConnection server = connect(inUse)) {
            RoleCommands.offerToken(server, token);
        }
    }

    /** Has a server write its role into its config file, where it has one, so that it outlasts a restart. */
    void makeRoleLasting(Side side) {
        try (ServerConnection server = connect(side)) {
            ServerSettings.makeLasting(server);
        }
    }

    private RelayLink open(Side source, LinkStart start, ServerConnection target) {
        boolean forward = source == Side.OLD;
        InetAddress reachableByTarget = target.localAddress();
        StreamTranslator translator;
        try (ServerConnection from = connect(source)) {
            translator = StreamTranslator.between(dialects.of(from), dialects.of(target));
        }
        CacheRecord now = remembered();
        int port = forward ? now.forwardPort() : now.reversePort();
        IntFunction<LinkSettings> at = wanted -> new LinkSettings(
                linkName(source),
                fleet(source),
                fleet(source.other()),
                reachableByTarget,
                wanted,
                now.secret(),
                start,
                translator);
        RelayLink opened = openAt(at, port, new Told(source));
        int bound = opened.face().port();
        if (bound != port) {
            remember(record -> forward
                    ? record.withPorts(bound, record.reversePort())
                    : record.withPorts(record.forwardPort(), bound));
        }
        return opened;
    }

    /** At the port that the follower knows, or, where somebody else has that by now, at any: the follower is told. */
    private RelayLink openAt(IntFunction<LinkSettings> at, int port, LinkListener listener) {
        try {
            return RelayLink.open(at.apply(port), environment, listener);
        } catch (UncheckedIOException taken) {
            LOG.warn("release {}, cache {}: port {} of a link is taken: {}", release, name(), port, taken.getMessage());
        }
        try {
            return RelayLink.open(at.apply(0), environment, listener);
        } catch (UncheckedIOException e) {
            throw new ReleaseException(
                    ReleaseException.Code.STEP_FAILED,
                    "cache " + name() + ": no port can be bound for a link: " + e.getMessage());
        }
    }

    /** Takes over a link that was opened ahead, to a target that knows of it. */
    synchronized void adopt(RelayLink opened, Side source) {
        pointed = true;
        link = opened;
        linkSource = source;
        linkBroken = null;
        opened.confirmPromptly(source == Side.NEW && protect == Protect.SYNC);
        if (record.brokenBecause() != null) {
            remember(now -> now.withBroken(null));
        }
    }

    /** Whether this node's clients are acknowledged only what both fleets have. */
    ProtectionState protection() {
        return proxy.protection();
    }

    /** Closes the link; when this returns, nothing of it can reach a server any more. */
    void closeLink() {
        RelayLink closing;
        synchronized (this) {
            closing = link;
            link = null;
            linkSource = null;
        }
        if (closing != null) {
            closing.close();
        }
    }

    void linkIsBroken(String why) {
        if (linkBroken == null) {
            linkBroken = why;
            LOG.error("release {}, cache {}: the link is broken: {}", release, name(), why);
            store.journal(release, "switchback", "link", "the link is broken: " + why, java.util.Map.of());
            // Every node reads it here: none may wait for a confirmation that cannot come any more.
            remember(now -> now.withBroken(why));
        }
    }

    /** Writes into the journal what a person may want to know of the link, and goes on. */
    void linkNote(String what) {
        store.journal(release, "switchback", "link", what, java.util.Map.of());
    }

    static RoleChange.Changed demandChanged(RoleChange change) {
        return switch (change) {
            case RoleChange.Changed changed -> changed;
            case RoleChange.Refused(String why) ->
                throw new ReleaseException(ReleaseException.Code.STEP_FAILED, "a change of role was refused: " + why);
        };
    }

    @Override
    public void close() {
        closeLink();
    }

    /** What the link tells, on its own threads. */
    private final class Told implements LinkListener {
        private final Side source;

        Told(Side source) {
            this.source = source;
        }

        @Override
        public void based(LinkBase base) {
            remember(now -> now.withBase(base));
        }

        @Override
        public void sourceIdChanged(String id) {
            remember(now -> {
                LinkBase base = now.base();
                return base == null || linkSource != source
                        ? now
                        : now.withBase(new LinkBase(id, base.sourceOffset(), base.targetId(), base.targetOffset()));
            });
        }

        @Override
        public void copied(BackupManifest manifest) {
            remember(now -> now.withBackup(manifest.file().toString()));
        }

        @Override
        public void broken(String why) {
            linkIsBroken(why);
        }
    }
}
