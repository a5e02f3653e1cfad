package io.switchback.fleet;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.Arrays;

/** The keys that Switchback keeps on the servers themselves, in database 0: hidden from clients, ignored when fleets are compared. */
public final class ReservedKeys {
    /** How every reserved key begins. */
    public static final String PREFIX = "switchback:reserved:";

    /** Which attempt at which switch may change roles ({@link RoleCommands}). */
    public static final String TOKEN = PREFIX + "token";

    /** On a fleet whose clients were moved elsewhere for good: who did that, and where they are. */
    public static final String LEFT = PREFIX + "left";

    /** Not a key but a channel: a switch publishes there that nothing more is published at the fleet that it leaves. */
    public static final String SWITCH_CHANNEL = PREFIX + "switch";

    private static final byte[] PREFIX_BYTES = PREFIX.getBytes(UTF_8);

    private ReservedKeys() {}

    /** Where a link notes, within its target's data, which point of its source's stream the target has applied. */
    public static String marker(String link) {
        return PREFIX + "marker:" + link;
    }

    /** Whether a key is one of Switchback's own. */
    public static boolean isReserved(byte[] key) {
        return key.length >= PREFIX_BYTES.length
                && Arrays.equals(key, 0, PREFIX_BYTES.length, PREFIX_BYTES, 0, PREFIX_BYTES.length);
    }
}
