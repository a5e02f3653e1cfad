package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.resp.CommandKeys;
import io.switchback.resp.CommandRule;
import io.switchback.resp.CommandTable;
import io.switchback.resp.KeyPlaces;
import io.switchback.resp.ReplyScanner;
import io.switchback.resp.RequestScanner;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Which keys one loop's clients name most, and which are large, told from a few of the commands that pass.
 *
 * <p>Owned by its event loop. What passes costs one subtraction a run. About one command in {@link #LOOK_NANOS} is looked at, however many there are, but
 * at least one of {@link #GAP_MAX}; it stands for those since the last one. How many that are is drawn anew each time, lest it keeps step with a client that does the same over and over.
 * Of a command that is looked at and names one key, the reply is measured as well. Large commands and replies are all
 * looked at.
 *
 * <p>What was counted fades by half in {@link #HALF_LIFE_NANOS}.
 */
final class KeyTraffic {
    private static final long LOOK_NANOS = TimeUnit.MILLISECONDS.toNanos(1);
    private static final int GAP_MAX = 256;
    /** How many pass between two looks is set anew after so many looks, or after so long. */
    private static final int LOOKS = 256;

    private static final long LOOKS_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

    static final long HALF_LIFE_NANOS = TimeUnit.SECONDS.toNanos(30);
    private static final double LIFE_NANOS = HALF_LIFE_NANOS / Math.log(2);
    private static final long FADE_EVERY_NANOS = TimeUnit.SECONDS.toNanos(1);

    /** Of a command with more keys than these the others are not counted. */
    private static final int KEYS_PER_COMMAND_MAX = 16;

    private final ProxyLoop loop;
    /** What hashes of keys start at. */
    private final long secret;

    private final HeavyKeys heavy;
    private final BigKeys big = new BigKeys();
    private final CommandKeys keys = new CommandKeys();
    private final RequestScanner scanner = new RequestScanner(Integer.MAX_VALUE, SessionCommands.RESERVED);
    private final long startedNanos;

    private int untilNext = 1;
    /** How many the next one stands for. */
    private int step = 1;

    private int gap = 1;
    /** How many commands of the run that is passing could have their replies measured. */
    private int looksAtRun;

    private long random;

    private long looksSinceNanos;
    private int looks;
    private long commands;

    private long fadedAtNanos;
    private double total;

    /** {@code secret}: the same for all loops, and known to no client. */
    KeyTraffic(ProxyLoop loop, long secret) {
        this.loop = loop;
        this.secret = secret;
        this.heavy = new HeavyKeys(secret);
        this.random = secret | 1;
        this.startedNanos = loop.nanoTime();
        this.looksSinceNanos = startedNanos;
        this.fadedAtNanos = startedNanos;
    }

    /** What was counted of all commands, and what is known of keys; {@code lifeNanos} is what weights are to be divided by for a rate. */
    record Counted(
            double total, double missed, double lifeNanos, List<HeavyKeys.Heavy> heavy, List<BigKeys.Seen> big) {}

    // --- what passes

    /** A client's commands are being sent for the first time. */
    void passing(Run run, int database) {
        untilNext -= run.commands;
        if (untilNext <= 0 || run.requestBytes >= ReplySizes.LARGE_BYTES) {
            look(run, run.request, run.commands, database, 0);
        }
    }

    /** Commands of a client, whole ones from {@code from} on, are answered without a run of their own; {@code replyBytes} each, where that is known. */
    void answered(ByteBuf in, int from, int count, int database, long replyBytes) {
        untilNext -= count;
        if (untilNext <= 0) {
            look(null, in.slice(from, in.writerIndex() - from), count, database, replyBytes);
        }
    }

    private void look(@Nullable Run run, ByteBuf in, int count, int database, long replyBytes) {
        boolean isLarge = run != null && run.requestBytes >= ReplySizes.LARGE_BYTES;
        int next = untilNext + count - 1; // the first of them that is looked at
        int index = 0;
        looksAtRun = 0;
        for (int i = 0; i < count && (i <= next || isLarge); i++) {
            if ((run != null && run.inPieces) || scanner.next(in, index) != RequestScanner.Outcome.COMMAND) {
                scanner.reset();
                untilNext = Math.max(1, untilNext); // nobody has the whole
                return;
            }
            if (i == next) {
                counted(run, i, in, index, database, replyBytes);
                next += step;
                untilNext += step;
            }
            if (isLarge && scanner.end() - index >= BigKeys.BYTES_MIN) {
                sawLarge(in, index, scanner.end() - index, database);
            }
            index = scanner.end();
        }
    }

    /** One command has been reached that is to be looked at; draws the next one. */
    private void counted(@Nullable Run run, int number, ByteBuf in, int index, int database, long replyBytes) {
        long now = loop.nanoTime();
        fade(now);
        total += step;
        CommandRule rule = CommandTable.find(in, index + scanner.nameOffset(), scanner.nameLength());
        if (rule != null) {
            int found = keys.find(in, index, rule.keys());
            for (int i = 0; i < Math.min(found, KEYS_PER_COMMAND_MAX); i++) {
                HeavyKeys.Entry entry = heavy.named(database, in, keys.start(i), keys.length(i), rule, step);
                if (found == 1) {
                    long bytes = Math.max(replyBytes, scanner.end() - index);
                    entry.bytes = run == null ? bytes : Math.max(bytes, entry.bytes);
                    big.saw(entry.key, rule, bytes, now);
                    measure(run, number, entry, rule, bytes);
                }
            }
        }
        drawNext(now);
    }

    /** The reply of one command of a run can be measured, where they go to the client as they come: any of those that are looked at, by lot. */
    private void measure(@Nullable Run run, int number, HeavyKeys.Entry entry, CommandRule rule, long commandBytes) {
        if (run == null || (run.sink != run.session && !run.isPart)) {
            return;
        }
        looksAtRun++;
        if (run.measured == null || Math.floorMod(drawn(), looksAtRun) == 0) {
            run.measured = entry;
            run.measuredBy = rule;
            run.measuredCommand = number;
            run.measuredBytes = commandBytes;
            run.measuredFrom = 0;
        }
    }

    /** Marsaglia, "Xorshift RNGs" (2003). */
    private long drawn() {
        random ^= random << 13;
        random ^= random >>> 7;
        random ^= random << 17;
        return random;
    }

    private void drawNext(long now) {
        looks++;
        commands += step;
        long elapsed = now - looksSinceNanos;
        if (looks == LOOKS || elapsed >= LOOKS_NANOS) {
            gap = Math.clamp(commands * LOOK_NANOS / Math.max(1, elapsed), 1, GAP_MAX);
            looks = 0;
            commands = 0;
            looksSinceNanos = now;
        }
        step = 1 + (int) Math.floorMod(drawn(), 2L * gap - 1);
    }

    // --- sizes

    /** The beginning of a command has come, whose argument of so many bytes is under way. */
    void sawLargeBegin(CommandRule rule, ByteBuf in, int from, RequestScanner begun, int database) {
        boolean namesFirst = switch (rule.keys()) {
            case KeyPlaces.First() -> true;
            case KeyPlaces.Range(int first, int _, int _) -> first == 1;
            default -> false;
        };
        if (namesFirst && begun.wholeArguments() > 1) {
            ByteBuf key = Unpooled.wrappedBuffer(RequestScanner.copyArguments(in, from, 2)[1]);
            big.saw(
                    KeyName.copy(secret, database, key, 0, key.readableBytes()),
                    rule,
                    begun.bytesOfUnfinishedArgument(),
                    loop.nanoTime());
        }
    }

    /** Replies to the run have come, or part of one: what the scanner says is of the bytes that came last. */
    void replied(Run run, ReplyScanner scanned, int database) {
        HeavyKeys.Entry entry = run.measured;
        CommandRule command = run.measuredBy;
        if (entry != null && command != null && !run.partial) {
            if (run.answered == run.measuredCommand) {
                run.measuredFrom = run.replyBytes;
            } else if (run.answered > run.measuredCommand) {
                run.measured = null;
                long bytes = run.replyBytes - run.measuredFrom;
                entry.bytes = Math.max(run.measuredBytes, bytes);
                big.saw(entry.key, command, bytes, loop.nanoTime());
            }
        }
        if (scanned.completed() > 0) {
            run.replyFrom = run.replyBytes; // or a little before
            run.seenBytes = 0;
        }
        long bytes =
                Math.max(run.replyBytes - run.replyFrom + scanned.bytesMissing(), scanned.bytesOfUnfinishedString());
        if (run.partial && bytes >= ReplySizes.LARGE_BYTES && bytes - run.seenBytes >= run.seenBytes / 8) {
            run.seenBytes = bytes;
            sawLargeReply(run, bytes, database);
        }
    }

    private void sawLargeReply(Run run, long bytes, int database) {
        if (run.session == null || run.inPieces) {
            return;
        }
        int index = 0;
        for (int i = 0; i <= run.answered; i++) {
            if (scanner.next(run.request, index) != RequestScanner.Outcome.COMMAND) {
                scanner.reset();
                return;
            }
            if (i < run.answered) {
                index = scanner.end();
            }
        }
        sawLarge(run.request, index, bytes, database);
    }

    /** Of the command that the scanner has found. */
    private void sawLarge(ByteBuf in, int index, long bytes, int database) {
        CommandRule rule = CommandTable.find(in, index + scanner.nameOffset(), scanner.nameLength());
        if (rule != null && keys.find(in, index, rule.keys()) == 1) {
            big.saw(KeyName.copy(secret, database, in, keys.start(0), keys.length(0)), rule, bytes, loop.nanoTime());
        }
    }

    // --- what is known

    private void fade(long now) {
        long elapsed = now - fadedAtNanos;
        if (elapsed >= FADE_EVERY_NANOS) {
            double factor = Math.exp(-elapsed / LIFE_NANOS);
            total *= factor;
            heavy.fade(factor);
            fadedAtNanos = now;
        }
    }

    Counted counted() {
        long now = loop.nanoTime();
        fade(now);
        double since = 1 - Math.exp(-Math.max(1, now - startedNanos) / LIFE_NANOS);
        return new Counted(total, heavy.missed(), LIFE_NANOS * since, heavy.counted(), big.seen(now));
    }
}
