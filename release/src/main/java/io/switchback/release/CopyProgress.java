package io.switchback.release;

import io.switchback.sync.LinkStatus;
import java.util.Locale;

/**
 * How far a copy is, for a person.
 *
 * @param words what was copied, how fast, and how long the rest may take
 * @param share between 0 and 1; -1 where the source does not say how much it will be (diskless)
 */
record CopyProgress(String words, double share) {
    private static final double MEBIBYTE = 1 << 20;

    static CopyProgress of(LinkStatus link) {
        long copied = link.copiedBytes();
        boolean isKnown = link.copyBytesTotal() > 0;
        String words = copied + " bytes" + (isKnown ? " of " + link.copyBytesTotal() : "");
        if (link.phase() == LinkStatus.Phase.COPYING && link.copySpeed().bytesPerSecond() > 0) {
            words += ", " + mebibytes(link.copySpeed().bytesPerSecond()) + " MiB a second"
                    + left(isKnown ? link.copyBytesTotal() : -1, copied, link.copySpeed());
        }
        return new CopyProgress(words, isKnown ? Math.min(1, copied / (double) link.copyBytesTotal()) : -1);
    }

    /** The bytes of a snapshot are fewer than those in memory, so that there is a bound even where nobody says how many they will be. */
    private static String left(long total, long copied, LinkStatus.Speed speed) {
        long end = total >= 0 ? total : speed.bytesAtMost();
        if (end < copied) {
            return "";
        }
        long seconds = (end - copied + speed.bytesPerSecond() - 1) / speed.bytesPerSecond();
        return (total >= 0 ? ", " : ", at most ") + seconds + " s left";
    }

    private static String mebibytes(long bytes) {
        return String.format(Locale.ROOT, "%.1f", bytes / MEBIBYTE);
    }
}
