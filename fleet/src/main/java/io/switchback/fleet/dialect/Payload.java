package io.switchback.fleet.dialect;

import io.switchback.fleet.ServerVersion;
import io.switchback.fleet.ServerVersion.Product;
import org.jspecify.annotations.Nullable;

/**
 * Judges a serialized value (DUMP, FUNCTION DUMP) before a server is asked to load it: a type byte, the value, two bytes of
 * version, eight of checksum. A server refuses a version above its own and a type that it does not know, silently where the
 * command comes down a stream; and a module's type can end the process of an old one.
 */
final class Payload {
    private static final int FOOTER_BYTES = 10;
    private static final int VALKEY_9 = 80;
    private static final int FOREIGN_MIN = 12;
    private static final int FUNCTION = 245;

    private Payload() {}

    /** Why {@code target} would not load it, or null. */
    static @Nullable String refusal(byte[] payload, ServerVersion target) {
        if (payload.length < FOOTER_BYTES) {
            return "a payload of " + payload.length + " bytes is none";
        }
        int version = (payload[payload.length - FOOTER_BYTES] & 0xff)
                | (payload[payload.length - FOOTER_BYTES + 1] & 0xff) << 8;
        int type = payload.length == FOOTER_BYTES
                ? FUNCTION
                : payload[0] & 0xff; // a dump of no functions is a mere footer
        int own = versionOf(target);
        boolean foreign = target.product() == Product.VALKEY && version >= FOREIGN_MIN && version < VALKEY_9;
        if (version > own || foreign) {
            return "a payload of version " + version + " is unknown to " + target + ", which loads " + own;
        }
        if (type == 6 || type == 7) {
            return "a payload of a module's type is never passed on";
        }
        if (type != FUNCTION && type > typeMax(version, target)) {
            return "a payload of type " + type + " is unknown to " + target;
        }
        return null;
    }

    /** The newest form that a server of this version writes and loads. */
    private static int versionOf(ServerVersion server) {
        if (server.product() == Product.VALKEY) {
            return server.isAtLeast(9, 0) ? VALKEY_9 : 11;
        }
        if (server.isAtLeast(8, 6)) {
            return 13;
        }
        if (server.isAtLeast(7, 4)) {
            return 12;
        }
        if (server.isAtLeast(7, 2)) {
            return 11;
        }
        return server.isAtLeast(7, 0) ? 10 : 9;
    }

    /** The greatest type that this version of the form has and this server loads. */
    private static int typeMax(int version, ServerVersion target) {
        int byServer = switch (versionOf(target)) {
            case 9 -> 15;
            case 10 -> 19;
            case 11 -> 21;
            case VALKEY_9 -> 22;
            default -> 25;
        };
        int common = 21; // above it the two products gave the same numbers to different things
        boolean own = target.product() == Product.VALKEY ? version == VALKEY_9 : version >= FOREIGN_MIN;
        return own ? byServer : Math.min(byServer, common);
    }
}
