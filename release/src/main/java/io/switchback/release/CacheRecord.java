package io.switchback.release;

import io.switchback.fleet.ServerSettings.Setting;
import io.switchback.sync.LinkBase;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * What the ledger remembers of one cache in a release: enough to open its links again and to undo what was set.
 *
 * @param cache the cache's name
 * @param from the old fleet's name
 * @param to the new fleet's name
 * @param secret the password of the face that a relay's target connects to; by it links are told apart from others at their sources
 * @param choice the kind of its links; absent until the check has chosen
 * @param forwardPort the port of the face that the new fleet connects to; 0 until a relay has bound it
 * @param reversePort the port of the face that the old fleet connects to; 0 until a relay has bound it
 * @param copies one for each shard of the old fleet; empty until the copy begins
 * @param bases where the links that flow now begin, their source being the fleet in use; empty until the copy is complete, and where
 *     {@code unequalBecause} is there
 * @param unequalBecause why the fleets are not equal at any offset any more, so that no link can begin; absent otherwise
 * @param brokenBecause why a link that was there last cannot go on; absent while all may
 * @param again a copy of the fleet in use to the other one that is made again, one for each shard: {@code bases} are empty until it is complete. Absent while none is under way
 * @param hollow whether the fleet that is not in use is known not to hold what it should: it has lost its data, or is being copied again. Nobody is led there then
 * @param linkSlots the first slots of all shards that links of this release were ever named by ({@link ApplyLinks#name}), in either direction: at its end something of them may be left at either fleet
 * @param oldSettings what was set on the old fleet for the time of the release
 * @param newSettings what was set on the new fleet for the time of the release
 */
public record CacheRecord(
        String cache,
        String from,
        String to,
        String secret,
        @Nullable LinkChoice choice,
        int forwardPort,
        int reversePort,
        List<ShardCopy> copies,
        List<SourceBase> bases,
        @Nullable String unequalBecause,
        @Nullable String brokenBecause,
        @Nullable List<ShardCopy> again,
        boolean hollow,
        @Nullable List<Integer> linkSlots,
        List<SetOnServer> oldSettings,
        List<SetOnServer> newSettings) {

    /** In place of a backup's file: the link copies without a snapshot. */
    static final String NO_BACKUP = "";

    /**
     * The copy of one shard of the old fleet.
     *
     * @param slots as in {@link SourceBase}
     * @param base absent until it is complete
     * @param backup the file that was written beside; absent until it is complete; {@link #NO_BACKUP} where there is none
     */
    public record ShardCopy(
            String slots, @Nullable LinkBase base, @Nullable String backup) {
        boolean isComplete() {
            return base != null && backup != null;
        }
    }

    /**
     * A setting that was changed.
     *
     * @param server whose it is, as its endpoint is written
     */
    public record SetOnServer(String server, Setting setting) {}

    /** Of a release that has not begun. */
    static CacheRecord first(String cache, String from, String to, String secret) {
        return new CacheRecord(
                cache, from, to, secret, null, 0, 0, List.of(), List.of(), null, null, null, false, List.of(),
                List.of(), List.of());
    }

    private CacheRecord with(List<ShardCopy> shards, List<SourceBase> begins, @Nullable String why) {
        return with(shards, begins, why, again, hollow);
    }

    private CacheRecord with(
            List<ShardCopy> shards,
            List<SourceBase> begins,
            @Nullable String why,
            @Nullable List<ShardCopy> copiedAgain,
            boolean hollow) {
        List<String> named = new ArrayList<>();
        shards.forEach(copy -> named.add(copy.slots()));
        begins.forEach(base -> named.add(base.slots()));
        if (copiedAgain != null) {
            copiedAgain.forEach(copy -> named.add(copy.slots()));
        }
        return new CacheRecord(
                cache,
                from,
                to,
                secret,
                choice,
                forwardPort,
                reversePort,
                List.copyOf(shards),
                List.copyOf(begins),
                why,
                brokenBecause,
                copiedAgain,
                hollow,
                Stream.concat(namedBefore().stream(), named.stream().map(ApplyLinks::firstSlot))
                        .distinct()
                        .toList(),
                oldSettings,
                newSettings);
    }

    private CacheRecord with(
            @Nullable LinkChoice chosen,
            int forward,
            int reverse,
            @Nullable String broken,
            List<SetOnServer> ofOld,
            List<SetOnServer> ofNew) {
        return new CacheRecord(
                cache,
                from,
                to,
                secret,
                chosen,
                forward,
                reverse,
                copies,
                bases,
                unequalBecause,
                broken,
                again,
                hollow,
                linkSlots,
                List.copyOf(ofOld),
                List.copyOf(ofNew));
    }

    CacheRecord withChoice(LinkChoice chosen) {
        return with(chosen, forwardPort, reversePort, brokenBecause, oldSettings, newSettings);
    }

    CacheRecord withPorts(int forward, int reverse) {
        return with(choice, forward, reverse, brokenBecause, oldSettings, newSettings);
    }

    CacheRecord withSettings(List<SetOnServer> ofOld, List<SetOnServer> ofNew) {
        return with(choice, forwardPort, reversePort, brokenBecause, ofOld, ofNew);
    }

    CacheRecord withBroken(@Nullable String why) {
        return with(choice, forwardPort, reversePort, why, oldSettings, newSettings);
    }

    /** A copy of these shards begins; those of the same shards that are complete already stay. */
    CacheRecord withCopyOf(List<String> shards) {
        List<ShardCopy> begun = shards.stream()
                .map(slots -> copies.stream()
                        .filter(copy -> copy.slots().equals(slots) && copy.isComplete())
                        .findFirst()
                        .orElseGet(() -> new ShardCopy(slots, null, null)))
                .toList();
        return with(begun, bases, unequalBecause);
    }

    /** As {@link #linkSlots}; a record of an earlier Switchback has not written them down. */
    List<Integer> namedBefore() {
        return linkSlots == null ? List.of() : linkSlots;
    }

    /** The fleet that is not in use is known not to hold what it should. */
    CacheRecord withHollow() {
        return with(copies, bases, unequalBecause, again, true);
    }

    /**
     * A copy of these shards of the fleet in use begins, in place of what the other fleet has.
     *
     * @param goesOn whether those of the same shards that are complete already stay
     */
    CacheRecord withCopyAgain(List<String> shards, boolean goesOn) {
        List<ShardCopy> before = again == null || !goesOn ? List.of() : again;
        List<ShardCopy> begun = shards.stream()
                .map(slots -> before.stream()
                        .filter(copy -> copy.slots().equals(slots) && copy.isComplete())
                        .findFirst()
                        .orElseGet(() -> new ShardCopy(slots, null, NO_BACKUP)))
                .toList();
        return with(copies, List.of(), unequalBecause, begun, true);
    }

    private CacheRecord withCopiedAgain(List<ShardCopy> before, String slots, LinkBase base) {
        List<ShardCopy> changed = before.stream()
                .map(copy -> copy.slots().equals(slots) ? new ShardCopy(slots, base, NO_BACKUP) : copy)
                .toList();
        return changed.stream().allMatch(ShardCopy::isComplete)
                ? with(copies, bases(changed), null, null, false)
                : with(copies, bases, unequalBecause, changed, true);
    }

    private static List<SourceBase> bases(List<ShardCopy> complete) {
        return complete.stream()
                .map(copy -> new SourceBase(copy.slots(), Objects.requireNonNull(copy.base()), true))
                .toList();
    }

    /** A shard's copy is complete, and its link can go on from there. */
    CacheRecord withCopied(String slots, LinkBase base) {
        if (again != null) {
            return withCopiedAgain(again, slots, base);
        }
        return withCopy(slots, copy -> new ShardCopy(slots, base, copy.backup()));
    }

    CacheRecord withBackup(String slots, String file) {
        return withCopy(slots, copy -> new ShardCopy(slots, copy.base(), file));
    }

    private CacheRecord withCopy(String slots, UnaryOperator<ShardCopy> change) {
        List<ShardCopy> changed = copies.stream()
                .map(copy -> copy.slots().equals(slots) ? change.apply(copy) : copy)
                .toList();
        List<SourceBase> begins = bases;
        if (changed.stream().allMatch(ShardCopy::isComplete)) {
            begins = bases(changed);
        }
        return with(changed, begins, null);
    }

    /** The links of the fleet in use begin there from now on. */
    CacheRecord withBases(List<SourceBase> begins) {
        return with(copies, begins, null, null, false);
    }

    /** All links are known to have left their marks at their targets. */
    CacheRecord withAllNoted() {
        return with(
                copies,
                bases.stream()
                        .map(one -> new SourceBase(one.slots(), one.base(), true))
                        .toList(),
                unequalBecause);
    }

    /** The source of one shard calls its history by another id now. */
    CacheRecord withSourceId(String slots, String id) {
        List<SourceBase> begins = new ArrayList<>();
        for (SourceBase one : bases) {
            LinkBase base = one.base();
            begins.add(
                    one.slots().equals(slots)
                            ? new SourceBase(
                                    slots,
                                    new LinkBase(id, base.sourceOffset(), base.targetId(), base.targetOffset()),
                                    one.noted())
                            : one);
        }
        return with(copies, begins, unequalBecause);
    }

    CacheRecord withoutBases(String why) {
        return with(copies, List.of(), why);
    }

    /** As {@link #withCopied}, where no backup is written beside. */
    CacheRecord withCopiedAlone(String slots, LinkBase base) {
        return withCopy(slots, copy -> new ShardCopy(slots, base, NO_BACKUP));
    }

    /** Whether the first copy is complete: whatever has become of it since, the files beside it are there. */
    boolean wasCopied() {
        return !copies.isEmpty() && copies.stream().allMatch(ShardCopy::isComplete);
    }

    /** Whether the fleet that is not in use has, up to somewhere, all that the other one had, and the links can go on from there. */
    boolean isCopied() {
        return !bases.isEmpty() && wasCopied() && !hollow;
    }

    /** The files of the backup that are complete. */
    List<String> backups() {
        return copies.stream()
                .map(ShardCopy::backup)
                .filter(Objects::nonNull)
                .filter(file -> !file.equals(NO_BACKUP))
                .toList();
    }

    /** Whether nothing that is written to the fleet in use can reach the other one. */
    boolean isWayBackClosed() {
        return unequalBecause != null || brokenBecause != null || hollow;
    }
}
