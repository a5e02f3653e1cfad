package io.switchback.release;

import io.switchback.environment.Environment;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.ReplicationState;
import io.switchback.fleet.RoleChange;
import io.switchback.fleet.RoleCommands;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerSettings;
import io.switchback.fleet.dialect.Dialects;
import io.switchback.fleet.dialect.StreamTranslator;
import io.switchback.release.ReleaseState.Side;
import io.switchback.sync.BackupManifest;
import io.switchback.sync.LinkBase;
import io.switchback.sync.LinkBreak;
import io.switchback.sync.LinkListener;
import io.switchback.sync.LinkSettings;
import io.switchback.sync.LinkStart;
import io.switchback.sync.LinkStatus;
import io.switchback.sync.RelayLink;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.function.IntFunction;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One relay between two single servers: the one that is not in use follows it. The other direction's face is bound only within a switch.
 *
 * <p>Owned by the release's thread; what the relay tells from its own threads goes to {@link MovingCache#remember}.
 */
final class RelayLinks implements CacheLinks {
    private static final Logger LOG = LoggerFactory.getLogger(RelayLinks.class);
    /** For a look that can be repeated; the release has other things to do meanwhile. */
    private static final Duration LOOK_LIMIT = Duration.ofMillis(500);

    private final MovingCache cache;
    private final Path backupFolder;
    private final Environment environment;
    private final Dialects dialects = new Dialects();
    private @Nullable RelayLink link; // guarded by this
    private volatile @Nullable Side linkSource;
    private String cannotPoint = "";
    /** Whether the target was told of the link that is there; else opening it is not complete, and tried again. */
    private volatile boolean pointed = true;

    RelayLinks(MovingCache cache, Path backupFolder, Environment environment) {
        this.cache = cache;
        this.backupFolder = backupFolder;
        this.environment = environment;
    }

    /** The link that flows, or is trying to; empty before the copy began and within a switch. */
    synchronized Optional<RelayLink> link() {
        return Optional.ofNullable(link);
    }

    @Override
    public Optional<LinkStatus> status() {
        return link().map(RelayLink::status);
    }

    @Override
    public CacheSwitch toSwitch(SwitchPart part, CacheSwitch.Known known) {
        return new RelaySwitch(part, cache, this, known, environment);
    }

    // ---- the copy ----

    @Override
    public void startCopy() {
        copy(Optional.of(backupFolder), now -> now.withCopyOf(List.of(SourceBase.ALL)));
    }

    /** Whatever broke the way back: links that apply mend it, also what a relay would break of again. */
    @Override
    public boolean isMendedByCopy(LinkBreak kind, Side inUse) {
        return inUse == Side.NEW || (kind != LinkBreak.LED_AWAY && kind != LinkBreak.FINAL);
    }

    @Override
    public String whyNoCopyAgain(Side inUse) {
        if (inUse == Side.OLD) {
            return "";
        }
        try (ServerConnection target = cache.connect(Side.OLD)) {
            if (ReplicationState.read(target).role() == ReplicationState.Role.REPLICA && !cache.isFollower(target)) {
                return target.endpoint()
                        + " follows somebody else; make it a primary, or say finish if it is wanted so";
            }
            return ApplyCheck.whyNotWritten(target)
                    .map(why ->
                            why + ", as links that apply do (docs/rights.md); allow it, and they go on by themselves")
                    .orElse("");
        }
    }

    /**
     * The new fleet can load what the old one dumps, or there would be no relay. The other way round that is not said: so from there on links apply, which put each value into words
     * that the old fleet knows.
     */
    @Override
    public void copyAgain(Side inUse, boolean goesOn) {
        if (inUse == Side.OLD) {
            copy(Optional.empty(), now -> now.withCopyAgain(List.of(SourceBase.ALL), false));
            return;
        }
        close();
        cache.demandStanding();
        cache.apply("the relay of the way back was broken, and gives a former primary no copy")
                .copyAgain(inUse, false);
    }

    private void copy(Optional<Path> backup, UnaryOperator<CacheRecord> begun) {
        close();
        try (ServerConnection target = cache.connect(Side.NEW)) {
            cache.remember(begun);
            RelayLink copying = open(Side.OLD, new LinkStart.FullCopy(backup), target);
            adopt(copying, Side.OLD);
            copying.admit();
            cache.demandStanding();
            // As a replica it has the token of whoever made it one, or will have it with the copy.
            RoleCommands.offerToken(target, cache.token());
            demandChanged(RoleCommands.follow(target, copying.face(), cache.token()));
        }
    }

    /** Has the new fleet's server write its role into its config file, where it has one, so that it outlasts a restart. */
    @Override
    public void copied() {
        try (ServerConnection server = cache.connect(Side.NEW)) {
            ServerSettings.makeLasting(server);
        }
    }

    // ---- the link between switches ----

    @Override
    public void reopen(Side inUse) {
        LinkBase base = cache.remembered().bases().stream()
                .findFirst()
                .map(SourceBase::base)
                .orElse(null);
        if (base == null
                || (linkSource == inUse
                        && pointed
                        && link().filter(one -> !one.isFrozen()).isPresent())) {
            return;
        }
        close();
        try (ServerConnection target = cache.connect(inUse.other())) {
            RelayLink again = open(inUse, new LinkStart.From(base), target);
            adopt(again, inUse);
            pointed = false;
            again.admit();
            pointTo(target, again);
            pointed = true;
            cache.wasReopened();
        }
    }

    /** Sees to it that the follower connects to the link's face: after a node's restart the port may be another one. */
    private void pointTo(ServerConnection follower, RelayLink to) {
        ReplicationState state = ReplicationState.read(follower);
        if (state.role() == ReplicationState.Role.PRIMARY) {
            cache.linkIsBroken(
                    LinkBreak.LED_AWAY,
                    follower.endpoint() + " is a primary, although it should follow: somebody changed its role,"
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
        cache.demandStanding();
        return RoleCommands.follow(follower, to.face(), cache.token());
    }

    /**
     * A target that follows somebody else, while the link waits for it, is told to follow the link. A leader that was cut
     * off may have told it otherwise before it learnt that it leads no more (until the copy there is no token that would keep it from that), and
     * so may a person. One that became a primary is the link's to judge; one that does not answer, or does not let itself be told (it
     * loads a copy, say), is asked again at the next look.
     */
    @Override
    public void lookAfterTarget(Side inUse) {
        RelayLink waiting = link().filter(one -> one.status().phase() == LinkStatus.Phase.WAITING_FOR_TARGET)
                .orElse(null);
        if (waiting == null || linkSource != inUse || cache.linkBroken() != null) {
            return;
        }
        try (ServerConnection target = ServerConnection.open(cache.fleet(inUse.other()), LOOK_LIMIT)) {
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
                    cache.releaseName(),
                    cache.name(),
                    why);
        }
        cannotPoint = why;
    }

    /** What is still sent there under an older token is refused from now on. Its follower gets to know by the stream. */
    @Override
    public void takeOver(Side inUse) {
        try (ServerConnection server = cache.connect(inUse)) {
            RoleCommands.offerToken(server, cache.token());
        }
    }

    /** Binds the face that {@code follower} will be told to follow; nobody is let in before the base is known. */
    RelayLink openAhead(Side source, ServerConnection follower) {
        return open(source, new LinkStart.Later(), follower);
    }

    private RelayLink open(Side source, LinkStart start, ServerConnection target) {
        boolean forward = source == Side.OLD;
        InetAddress reachableByTarget = target.localAddress();
        StreamTranslator translator;
        try (ServerConnection from = cache.connect(source)) {
            translator = StreamTranslator.between(dialects.of(from), dialects.of(target));
        }
        CacheRecord now = cache.remembered();
        int port = forward ? now.forwardPort() : now.reversePort();
        IntFunction<LinkSettings> at = wanted -> new LinkSettings(
                cache.linkName(source),
                cache.fleet(source),
                cache.fleet(source.other()),
                reachableByTarget,
                wanted,
                now.secret(),
                start,
                translator,
                cache.copyLimits());
        RelayLink opened = openAt(at, port, new Told(source));
        int bound = opened.face().port();
        if (bound != port) {
            cache.remember(record -> forward
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
            LOG.warn(
                    "release {}, cache {}: port {} of a link is taken: {}",
                    cache.releaseName(),
                    cache.name(),
                    port,
                    taken.getMessage());
        }
        try {
            return RelayLink.open(at.apply(0), environment, listener);
        } catch (UncheckedIOException e) {
            throw new ReleaseException(
                    ReleaseException.Code.STEP_FAILED,
                    "cache " + cache.name() + ": no port can be bound for a link: " + e.getMessage());
        }
    }

    /** Takes over a link that was opened ahead, to a target that knows of it. */
    void adopt(RelayLink opened, Side source) {
        synchronized (this) {
            pointed = true;
            link = opened;
            linkSource = source;
        }
        opened.confirmPromptly(cache.isProtected(source));
        cache.linksAreOpened();
    }

    @Override
    public void close() {
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

    static RoleChange.Changed demandChanged(RoleChange change) {
        return switch (change) {
            case RoleChange.Changed changed -> changed;
            case RoleChange.Refused(String why) ->
                throw new ReleaseException(ReleaseException.Code.STEP_FAILED, "a change of role was refused: " + why);
        };
    }

    /** What the relay tells, on its own threads. */
    private final class Told implements LinkListener {
        private final Side source;

        Told(Side source) {
            this.source = source;
        }

        @Override
        public void based(LinkBase base) {
            cache.remember(now -> now.withCopied(SourceBase.ALL, base));
        }

        @Override
        public void sourceIdChanged(String id) {
            cache.remember(now -> linkSource == source ? now.withSourceId(SourceBase.ALL, id) : now);
        }

        @Override
        public void copied(BackupManifest manifest) {
            cache.remember(now -> now.withBackup(SourceBase.ALL, manifest.file().toString()));
        }

        @Override
        public void broken(LinkBreak kind, String why) {
            cache.linkIsBroken(kind, why);
        }
    }
}
