package io.switchback.release;

import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ReplicationState;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.Token;
import io.switchback.ledger.Claim;
import io.switchback.ledger.LedgerException;
import io.switchback.proxy.CacheProxy;
import io.switchback.proxy.ProtectionState;
import io.switchback.release.ReleaseState.Side;
import io.switchback.sync.CarriedKeys;
import io.switchback.sync.LinkBreak;
import io.switchback.sync.LinkStatus;
import io.switchback.sync.source.CopyLimits;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One cache of a release: its two fleets, the links between them, and what the ledger remembers of both.
 *
 * <p>Owned by the release's thread; what a link tells from its own threads is written through {@link #remember}, under this object's lock.
 */
final class MovingCache implements AutoCloseable {
    /** How long a server may take to connect or to answer an administration command. */
    static final Duration SERVER_TIMEOUT = Duration.ofSeconds(5);

    private static final Logger LOG = LoggerFactory.getLogger(MovingCache.class);

    private final String release;
    private final String name;
    private final ReleaseStore store;
    private final FleetSpec oldFleet;
    private final FleetSpec newFleet;
    private final CacheProxy proxy;
    private final Protect protect;
    private final CopyLimits copyLimits;
    private final CarriedKeys carriedKeys;
    private final Path backupFolder;
    private final Environment environment;
    private volatile Token token;
    private final Claim claim;
    private CacheRecord record; // guarded by this
    private volatile @Nullable CacheLinks links;
    private volatile boolean reopened;
    private volatile @Nullable String linkBroken;
    private volatile LinkBreak brokenAs = LinkBreak.FINAL;

    MovingCache(
            String release,
            ReleaseStore store,
            CacheRecord record,
            ManagedCache cache,
            Protect protect,
            CopyLimits copyLimits,
            CarriedKeys carriedKeys,
            Claim claim,
            Path backupFolder,
            Environment environment) {
        this.release = release;
        this.store = store;
        this.record = record;
        this.name = record.cache();
        this.claim = claim;
        this.token = Token.open(
                claim.holder().term(), release + " led by " + claim.holder().node());
        this.protect = protect;
        this.copyLimits = copyLimits;
        this.carriedKeys = carriedKeys;
        this.proxy = cache.proxy();
        this.oldFleet = cache.fleet(record.from());
        this.newFleet = cache.fleet(record.to());
        this.backupFolder = backupFolder;
        this.environment = environment;
    }

    String name() {
        return name;
    }

    String releaseName() {
        return release;
    }

    FleetSpec fleet(Side side) {
        return side == Side.OLD ? oldFleet : newFleet;
    }

    /** How fast its links may copy. */
    CopyLimits copyLimits() {
        return copyLimits;
    }

    /** Which of its keys its links carry, and by which names the new fleet has them. */
    CarriedKeys carriedKeys() {
        return carriedKeys;
    }

    /** As the links see it that lead away from the fleet of that side. */
    CarriedKeys.Way carriedFrom(Side source) {
        return source == Side.OLD ? carriedKeys.there() : carriedKeys.back();
    }

    CacheProxy proxy() {
        return proxy;
    }

    synchronized CacheRecord remembered() {
        return record;
    }

    /** Writes down what has changed, before anybody acts on it. */
    synchronized void remember(UnaryOperator<CacheRecord> change) {
        CacheRecord changed = change.apply(record);
        store.save(release, changed);
        record = changed;
    }

    // ---- the servers ----

    /** To the one primary of a fleet that is no cluster. */
    ServerConnection connect(Side side) {
        return ServerConnection.open(fleet(side), SERVER_TIMEOUT);
    }

    /** To any primary of a fleet: what it says of versions and commands goes for all of them. */
    static ServerConnection connectToAny(FleetSpec fleet) {
        return connect(fleet, fleet.topologyNow().primaries().getFirst());
    }

    /** To one of a fleet's servers. */
    static ServerConnection connect(FleetSpec fleet, Endpoint server) {
        return ServerConnection.open(server, fleet.credential(), fleet.tls(), SERVER_TIMEOUT);
    }

    /** Whether every primary of the fleet answers, each within {@link #SERVER_TIMEOUT}. */
    boolean answers(Side side) {
        try {
            for (Endpoint primary : fleet(side).topologyNow().primaries()) {
                try (ServerConnection server = connect(fleet(side), primary)) {
                    server.call("PING");
                }
            }
            return true;
        } catch (FleetException e) {
            LOG.warn("release {}, cache {}: {}", release, name(), e.getMessage());
            return false;
        }
    }

    // ---- the links ----

    /** The kind of link that the check has chosen. */
    LinkKind kind() {
        LinkChoice choice = remembered().choice();
        if (choice == null) {
            throw new IllegalStateException("the check has not chosen the links of cache " + name() + " yet");
        }
        return choice.kind();
    }

    /** The links, of the kind that was chosen. */
    synchronized CacheLinks links() {
        CacheLinks known = links;
        if (known == null) {
            known = switch (kind()) {
                case RELAY -> new RelayLinks(this, backupFolder, environment);
                case APPLY -> new ApplyLinks(this, backupFolder, environment, false);
                case SCAN -> new ApplyLinks(this, backupFolder, environment, true);
            };
            links = known;
        }
        return known;
    }

    /**
     * From now on links apply, in place of a relay; they begin with a copy, and what the fleet that is not in use has is not whole until that is complete. All of it is written down at once: the place at which a relay would go on is
     * none for them.
     */
    synchronized CacheLinks apply(String because) {
        LinkChoice choice = new LinkChoice(LinkKind.APPLY, because);
        remember(now -> now.withChoice(choice).withCopyAgain(List.of(SourceBase.ALL), false));
        links = null;
        linkNote("cache " + name() + ": from now on links apply: " + because);
        return links();
    }

    /** Whether a relay has ever joined the fleets. */
    boolean wasRelayed() {
        return remembered().forwardPort() != 0;
    }

    /** Whether a server follows the face of a relay of this release, and not a primary that somebody gave it since. */
    boolean isFollower(ServerConnection server) {
        ReplicationState state = ReplicationState.read(server);
        CacheRecord now = remembered();
        return state.role() == ReplicationState.Role.REPLICA
                && state.primary()
                        .filter(one -> one.port() == now.forwardPort() || one.port() == now.reversePort())
                        .isPresent();
    }

    /** Where the links stand together; empty while there are none. */
    Optional<LinkStatus> linkStatus() {
        return Optional.ofNullable(links).flatMap(CacheLinks::status);
    }

    /** Why the links cannot go on; null as long as they can. */
    @Nullable
    String linkBroken() {
        String why = linkBroken;
        if (why != null) {
            return why;
        }
        CacheRecord now = remembered();
        boolean isLost = now.hollow() && now.again() == null;
        return isLost && now.brokenBecause() != null ? now.brokenBecause() : now.unequalBecause();
    }

    /** Whether the links are broken, and a copy of the fleet in use to the other one would mend them; or such a copy is owed. */
    boolean isMendable(Side inUse) {
        if (remembered().unequalBecause() != null) {
            return false;
        }
        boolean isOwed = remembered().hollow();
        boolean isBroken = linkBroken != null && links().isMendedByCopy(brokenAs, inUse);
        return isOwed || isBroken;
    }

    /** What the links have broken of; {@link LinkBreak#FINAL} as long as they have not. */
    LinkBreak brokenAs() {
        return linkBroken == null ? LinkBreak.FINAL : brokenAs;
    }

    /** Whether links of this process have broken since they were opened. */
    boolean isBrokenNow() {
        return linkBroken != null;
    }

    /** Whether the other fleet has all of a copy, and the stream flows or may flow again. */
    boolean copied() {
        return remembered().isCopied();
    }

    /** Opens the links from the fleet in use to the other one again, where the ledger says they began; not to a fleet that is known to have lost its data. Repeatable. */
    void reopenLink(Side inUse) {
        CacheRecord now = remembered();
        if (!now.bases().isEmpty() && !now.hollow()) {
            links().reopen(inUse);
        }
    }

    /** As {@link #reopenLink}, where nobody may wait for a server that is not in use: the release tries again later. */
    void reopenLinkIfItAnswers(Side inUse) {
        try {
            reopenLink(inUse);
        } catch (FleetException e) {
            LOG.warn("release {}, cache {}: the link is not open yet: {}", release, name(), e.getMessage());
        }
    }

    /** Between switches: sees to it that the target of the links is theirs. */
    void lookAfterTarget(Side inUse) {
        CacheLinks known = links;
        if (known != null) {
            known.lookAfterTarget(inUse);
        }
    }

    /** Whether there was a time since the copy in which no link watched the source. */
    boolean reopened() {
        return reopened;
    }

    void wasReopened() {
        reopened = true;
    }

    /** Links are about to be there again, and may go on: said before, or one that breaks at once would not be heard. */
    synchronized void linksAreOpened() {
        linkBroken = null;
        if (remembered().brokenBecause() != null) {
            remember(now -> now.withBroken(null));
        }
    }

    /** Closes the links; when this returns, nothing of them can reach a server any more. */
    void closeLink() {
        CacheLinks known = links;
        if (known != null) {
            known.close();
        }
    }

    /** The name of the link whose source is that fleet, or of all of them where it is a cluster. */
    String linkName(Side source) {
        return linkName(release, name(), source);
    }

    static String linkName(String release, String cache, Side source) {
        return release + "/" + cache + (source == Side.OLD ? "/forward" : "/reverse");
    }

    synchronized void linkIsBroken(LinkBreak kind, String why) {
        if (linkBroken == null) {
            brokenAs = kind;
            linkBroken = why;
            LOG.error("release {}, cache {}: the link is broken: {}", release, name(), why);
            store.journal(release, "switchback", "link", "the link is broken: " + why, Map.of());
            // Every node reads it here: none may wait for a confirmation that cannot come any more.
            remember(now -> kind == LinkBreak.TARGET_LOST ? now.withBroken(why).withHollow() : now.withBroken(why));
        } else if (kind == LinkBreak.TARGET_LOST && !remembered().hollow()) {
            remember(CacheRecord::withHollow); // of several links one may have been quicker to find something else
        }
    }

    /** Writes into the journal what a person may want to know of the links, and goes on. */
    void linkNote(String what) {
        store.journal(release, "switchback", "link", what, Map.of());
    }

    // ---- who may change what ----

    /** The token by which this node acts on the servers now: that of its term, or of the last switch. */
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
     * Makes whoever led this release before powerless at the server in use.
     *
     * @param fresh drawn since this node leads, so newer than whatever anybody has drawn who led before
     */
    void takeOver(Side inUse, Token fresh) {
        token(fresh);
        links().takeOver(inUse);
    }

    /** Why this process may not act for the release any more; empty where it may. Fails where the ledger does not say. */
    String whyNotStanding() {
        try {
            claim.demandStanding();
            return "";
        } catch (LedgerException e) {
            if (e.code() == LedgerException.Code.SUPERSEDED) {
                return String.valueOf(e.getMessage());
            }
            throw e;
        }
    }

    /** Fails where this process leads the release no more. */
    void demandStanding() {
        claim.demandStanding();
    }

    // ---- clients ----

    /** Whether this node's clients are acknowledged only what both fleets have. */
    ProtectionState protection() {
        return proxy.protection();
    }

    /** Whether clients of that fleet wait until what they write is on the other one. */
    boolean isProtected(Side inUse) {
        return inUse == Side.NEW && protect == Protect.SYNC;
    }

    @Override
    public void close() {
        closeLink();
    }
}
