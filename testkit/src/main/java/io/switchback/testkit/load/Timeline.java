package io.switchback.testkit.load;

import java.util.Arrays;
import java.util.List;
import org.HdrHistogram.Histogram;

/**
 * When one client's operations were answered, and how long it waited.
 *
 * <p>Written by the client's thread, read by any: every method takes the monitor, which is hardly ever contended. Bounded:
 * the figures of a {@link #WINDOW_NANOS window in time} are kept in slots of 10 ms, and the oldest are overwritten.
 */
final class Timeline {
    private static final long SLOT_NANOS = 10_000_000;
    private static final int SLOTS = 1 << 16;

    /** How far back a window may lie: about eleven minutes. */
    static final long WINDOW_NANOS = SLOT_NANOS * SLOTS;

    private static final long LATENCY_MICROS_MAX = 3_600_000_000L;
    private static final int LATENCY_DIGITS = 3;

    private final long originNanos;
    private final long[] slotNumber = new long[SLOTS];
    private final int[] slotAnswers = new int[SLOTS];
    private final int[] slotErrors = new int[SLOTS];
    private final long[] slotSumMicros = new long[SLOTS];
    private final int[] slotPauseMicros = new int[SLOTS];

    private final Histogram latencyMicros = new Histogram(LATENCY_MICROS_MAX, LATENCY_DIGITS);
    private long answers;
    private long errors;
    private long reconnects;
    private long sumMicros;
    private long acknowledgedWrites;
    private long staleReads;
    private long wrongReplies;
    private long waitingSinceNanos;
    private boolean waiting;

    Timeline(long originNanos) {
        this.originNanos = originNanos;
        Arrays.fill(slotNumber, -1);
    }

    /** The client wants an answer from now on, or still wants one since its last attempt failed. */
    synchronized void asked(long nowNanos) {
        if (!waiting) {
            waiting = true;
            waitingSinceNanos = nowNanos;
        }
    }

    /** A whole operation was answered. The pause began when the client first wanted an answer, the latency with this attempt. */
    synchronized void answered(long askedNanos, long nowNanos) {
        long micros = Math.max(0, (nowNanos - askedNanos) / 1_000);
        long pauseMicros = Math.max(micros, (nowNanos - waitingSinceNanos) / 1_000);
        waiting = false;
        answers++;
        sumMicros += micros;
        latencyMicros.recordValue(Math.min(micros, LATENCY_MICROS_MAX));
        int slot = slot(nowNanos);
        slotAnswers[slot]++;
        slotSumMicros[slot] += micros;
        slotPauseMicros[slot] = (int) Math.min(Integer.MAX_VALUE, Math.max(slotPauseMicros[slot], pauseMicros));
    }

    /** The attempt ended in an error or without an answer; the client goes on waiting. */
    synchronized void failed(long nowNanos) {
        errors++;
        slotErrors[slot(nowNanos)]++;
    }

    synchronized void reconnected() {
        reconnects++;
    }

    synchronized void acknowledgedWrites(int count) {
        acknowledgedWrites += count;
    }

    synchronized void staleRead() {
        staleReads++;
    }

    synchronized void wrongReply() {
        wrongReplies++;
    }

    private int slot(long nowNanos) {
        long number = (nowNanos - originNanos) / SLOT_NANOS;
        int slot = (int) (number & (SLOTS - 1));
        if (slotNumber[slot] != number) {
            slotNumber[slot] = number;
            slotAnswers[slot] = 0;
            slotErrors[slot] = 0;
            slotSumMicros[slot] = 0;
            slotPauseMicros[slot] = 0;
        }
        return slot;
    }

    synchronized long answers() {
        return answers;
    }

    synchronized LoadSnapshot snapshot(long nowNanos) {
        return new LoadSnapshot(
                nowNanos,
                answers,
                errors,
                reconnects,
                acknowledgedWrites,
                staleReads,
                wrongReplies,
                sumMicros,
                latencyMicros.copy());
    }

    /** Answers and errors that came within the window, and the longest pause that touches it. */
    synchronized LoadWindow window(TimeWindow window, long nowNanos) {
        long windowAnswers = 0;
        long windowErrors = 0;
        long windowSum = 0;
        long pause = waiting && waitingSinceNanos - window.toNanos() <= 0
                ? Math.max(0, (nowNanos - waitingSinceNanos) / 1_000)
                : 0;
        for (long number = firstSlot(window); number <= lastSlot(nowNanos); number++) {
            int slot = (int) (number & (SLOTS - 1));
            if (slotNumber[slot] != number) {
                continue;
            }
            long endNanos = originNanos + number * SLOT_NANOS;
            if (endNanos - window.toNanos() <= 0) {
                windowAnswers += slotAnswers[slot];
                windowErrors += slotErrors[slot];
                windowSum += slotSumMicros[slot];
            }
            // A pause that began in the window may end after it.
            if (endNanos - slotPauseMicros[slot] * 1_000L - window.toNanos() <= 0) {
                pause = Math.max(pause, slotPauseMicros[slot]);
            }
        }
        return new LoadWindow(windowAnswers, windowErrors, windowSum, pause);
    }

    /** The longest pause that touches none of the windows. */
    synchronized long pauseMicrosOutside(List<TimeWindow> windows, long nowNanos) {
        long longest = 0;
        for (long number = Math.max(0, lastSlot(nowNanos) - SLOTS + 1); number <= lastSlot(nowNanos); number++) {
            int slot = (int) (number & (SLOTS - 1));
            if (slotNumber[slot] == number && slotPauseMicros[slot] > longest) {
                long endNanos = originNanos + (number + 1) * SLOT_NANOS;
                TimeWindow pause = new TimeWindow(endNanos - SLOT_NANOS - slotPauseMicros[slot] * 1_000L, endNanos);
                if (windows.stream().noneMatch(pause::touches)) {
                    longest = slotPauseMicros[slot];
                }
            }
        }
        return longest;
    }

    private long firstSlot(TimeWindow window) {
        return Math.max(0, (window.fromNanos() - originNanos) / SLOT_NANOS);
    }

    private long lastSlot(long nowNanos) {
        return (nowNanos - originNanos) / SLOT_NANOS;
    }
}
