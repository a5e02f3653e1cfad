package io.switchback.sync.apply;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.fleet.ReservedKeys;
import io.switchback.resp.KeySlot;
import java.util.List;
import java.util.function.IntFunction;

/**
 * The keys that a link keeps at the primary that has a slot, or at a server that is no cluster's ({@link #NO_SLOT}).
 *
 * @param checkpoint at its target: how far that is ({@link Checkpoint})
 * @param owner      at its target: who may write there ({@link Ownership})
 * @param begin      at its source: written behind the place where the link begins
 * @param left       at its source: where an older owner's link ends
 */
record LinkKeys(String checkpoint, String owner, String begin, String left) {
    /** The server is no cluster's. */
    static final int NO_SLOT = -1;

    private static final String LEFT = "apply-left:";
    private static final String[] TAGS = tags();

    static LinkKeys of(String link, int slot) {
        String prefix = ReservedKeys.PREFIX + (slot == NO_SLOT ? "" : "{" + TAGS[slot] + "}");
        return new LinkKeys(
                prefix + "apply:" + link,
                prefix + "apply-owner:" + link,
                prefix + "apply-begin:" + link,
                prefix + LEFT + link);
    }

    List<String> all() {
        return List.of(checkpoint, owner, begin, left);
    }

    /** Whether this is where the link's end is noted, by whatever slot. */
    static boolean isLeft(byte[] key, String link) {
        if (!ReservedKeys.isReserved(key)) {
            return false;
        }
        String name = new String(key, UTF_8).substring(ReservedKeys.PREFIX.length());
        String untagged = name.startsWith("{") ? name.substring(name.indexOf('}') + 1) : name;
        return untagged.equals(LEFT + link);
    }

    /** For each slot the least number that is a hash tag of it. */
    private static String[] tags() {
        String[] tags = new String[KeySlot.SLOTS];
        IntFunction<byte[]> ascii = number -> Integer.toString(number).getBytes(US_ASCII);
        int missing = tags.length;
        for (int number = 0; missing > 0; number++) {
            int slot = KeySlot.of(ascii.apply(number));
            if (tags[slot] == null) {
                tags[slot] = Integer.toString(number);
                missing--;
            }
        }
        return tags;
    }
}
