package io.switchback.release;

import io.switchback.release.ReleaseState.Side;
import io.switchback.sync.LinkBreak;
import io.switchback.sync.LinkStatus;
import java.util.Optional;

/**
 * The links between the two fleets of one cache, of one kind. Their source is always the fleet in use, so there are never links that flow in both directions.
 *
 * <p>For the release's thread; {@link #status} for any.
 */
sealed interface CacheLinks extends AutoCloseable permits RelayLinks, ApplyLinks {

    /** Gives the new fleet a full copy of the old one, and has it follow from there. Returns at once. Repeatable. */
    void startCopy();

    /** Whether a full copy of this fleet to the other one puts them in step again after such a break. */
    boolean isMendedByCopy(LinkBreak kind, Side inUse);

    /** What the other fleet has to allow first, for a person; empty where nothing is in the way of {@link #copyAgain}. */
    String whyNoCopyAgain(Side inUse);

    /**
     * Gives the fleet that is not in use a full copy of the other one in place of what it has, and has it follow from there. It is written down before anything is touched there. Returns at once. Repeatable.
     *
     * @param goesOn whether what a former process has copied of it stays
     */
    void copyAgain(Side inUse, boolean goesOn);

    /** What is left to do once the copy is complete. Repeatable. */
    void copied();

    /** Opens the links from the fleet in use to the other one again, where the ledger says that they begin, unless they are open. Repeatable. */
    void reopen(Side inUse);

    /** Between switches, now and then: sees to it that the target of the links is theirs. Nothing of it waits for long. */
    void lookAfterTarget(Side inUse);

    /** Whoever led this release before is made powerless at the server in use; {@link MovingCache#token} is newer than all of theirs. */
    void takeOver(Side inUse);

    /** Where they stand together; empty while there are none. */
    Optional<LinkStatus> status();

    /** Begins nothing yet: what a switch of this cache does to the fleets. */
    CacheSwitch toSwitch(SwitchPart part, CacheSwitch.Known known);

    /** Closes them; when this returns, nothing of them can reach a server any more. */
    @Override
    void close();
}
