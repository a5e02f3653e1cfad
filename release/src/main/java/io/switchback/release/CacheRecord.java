package io.switchback.release;

import io.switchback.fleet.ServerSettings.Setting;
import io.switchback.sync.LinkBase;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What the ledger remembers of one cache in a release: enough to open its link again and to undo what was set.
 *
 * @param cache the cache's name
 * @param from the old fleet's name
 * @param to the new fleet's name
 * @param secret the password of the face that a target connects to; this link's alone
 * @param forwardPort the port of the face that the new fleet connects to; 0 until it is bound
 * @param reversePort the port of the face that the old fleet connects to; 0 until it is bound
 * @param base where the link that flows now begins, its source being the fleet in use; absent until the copy is complete, and
 *     where {@code unequalBecause} is there
 * @param unequalBecause why the fleets are not equal at any offset any more, so that no link can begin; absent otherwise
 * @param brokenBecause why the link that was there last cannot go on; absent while one may
 * @param oldSettings what was set on the old fleet for the time of the release
 * @param newSettings what was set on the new fleet for the time of the release
 * @param backup the file of the backup; absent until it is complete
 */
public record CacheRecord(
        String cache,
        String from,
        String to,
        String secret,
        int forwardPort,
        int reversePort,
        @Nullable LinkBase base,
        @Nullable String unequalBecause,
        @Nullable String brokenBecause,
        List<Setting> oldSettings,
        List<Setting> newSettings,
        @Nullable String backup) {

    CacheRecord withPorts(int forward, int reverse) {
        return new CacheRecord(
                cache,
                from,
                to,
                secret,
                forward,
                reverse,
                base,
                unequalBecause,
                brokenBecause,
                oldSettings,
                newSettings,
                backup);
    }

    CacheRecord withBase(LinkBase newBase) {
        return new CacheRecord(
                cache,
                from,
                to,
                secret,
                forwardPort,
                reversePort,
                newBase,
                null,
                brokenBecause,
                oldSettings,
                newSettings,
                backup);
    }

    CacheRecord withoutBase(String why) {
        return new CacheRecord(
                cache,
                from,
                to,
                secret,
                forwardPort,
                reversePort,
                null,
                why,
                brokenBecause,
                oldSettings,
                newSettings,
                backup);
    }

    CacheRecord withSettings(List<Setting> ofOld, List<Setting> ofNew) {
        return new CacheRecord(
                cache,
                from,
                to,
                secret,
                forwardPort,
                reversePort,
                base,
                unequalBecause,
                brokenBecause,
                ofOld,
                ofNew,
                backup);
    }

    CacheRecord withBackup(String file) {
        return new CacheRecord(
                cache,
                from,
                to,
                secret,
                forwardPort,
                reversePort,
                base,
                unequalBecause,
                brokenBecause,
                oldSettings,
                newSettings,
                file);
    }

    CacheRecord withBroken(@Nullable String why) {
        return new CacheRecord(
                cache,
                from,
                to,
                secret,
                forwardPort,
                reversePort,
                base,
                unequalBecause,
                why,
                oldSettings,
                newSettings,
                backup);
    }

    /** Whether nothing that is written to the fleet in use can reach the other one. */
    boolean isWayBackClosed() {
        return unequalBecause != null || brokenBecause != null;
    }
}
