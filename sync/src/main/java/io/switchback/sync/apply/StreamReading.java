package io.switchback.sync.apply;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.resp.CommandKeys;
import io.switchback.resp.CommandRule;
import io.switchback.resp.CommandTable;
import io.switchback.resp.KeyPlaces;
import io.switchback.sync.source.WireInput;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.Lock;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * Reads a source's stream on a thread of its own, so that whoever applies it can also wait for something else; commands are handed over in batches, at once where
 * the source has nothing more to say for the moment.
 *
 * <p>Bounded: what was handed over and is not applied is {@link #HELD_BYTES_MAX} at the most, or one command, and {@link #BATCHES_MAX} batches; then nothing more is read
 * than a further batch, which is {@link #BATCH_BYTES} and the rest of a command.
 */
final class StreamReading {
    static final int BATCHES_MAX = 16;
    static final int BATCH_BYTES = 256 * 1024;
    static final long HELD_BYTES_MAX = 64L * 1024 * 1024;

    private final WireInput input;
    private final long offsetOfFirst;
    private final CommandKeys commandKeys = new CommandKeys();
    private final Lock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private final Queue<Batch> batches = new ArrayDeque<>(); // guarded by lock
    /** Of the batches that wait and of the one that was taken last. */
    private long heldBytes; // guarded by lock

    private long takenBytes; // guarded by lock
    private List<StreamCommand> next = new ArrayList<>();
    private long nextFrom;

    /**
     * What was read together.
     *
     * @param bytes of the stream
     * @param end   why nothing will follow it; null where something may
     */
    record Batch(
            List<StreamCommand> commands,
            long bytes,
            @Nullable IOException end) {}

    /** @param offset of the source's stream, where its input stands now */
    StreamReading(WireInput input, long offset) {
        this.input = input;
        this.offsetOfFirst = offset - input.consumed();
    }

    /** Reads until the source's stream ends, which the last batch says; to be run by its thread. */
    void run() {
        try {
            IOException end;
            try {
                end = readAll();
            } catch (IOException e) {
                end = e;
            } catch (RuntimeException | OutOfMemoryError e) {
                end = new IOException("an error of Switchback's own: " + e, e);
            }
            put(new Batch(next, input.consumed() - nextFrom, end));
        } catch (InterruptedException e) {
            // Nobody waits for more.
        }
    }

    private IOException readAll() throws IOException {
        input.beforeWaiting(this::handOver);
        nextFrom = input.consumed();
        byte @Nullable [][] words = input.readCommand();
        while (words != null) {
            next.add(new StreamCommand(words, keys(words), offsetOfFirst + input.consumed()));
            if (input.consumed() - nextFrom >= BATCH_BYTES) {
                handOver();
            }
            words = input.readCommand();
        }
        return new IOException("the source ended its stream");
    }

    private void handOver() throws IOException {
        if (!next.isEmpty()) {
            try {
                put(new Batch(next, input.consumed() - nextFrom, null));
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IOException("stopped", e);
            }
            next = new ArrayList<>();
        }
        nextFrom = input.consumed();
    }

    private void put(Batch batch) throws InterruptedException {
        lock.lockInterruptibly();
        try {
            while (heldBytes > 0 && (heldBytes + batch.bytes() > HELD_BYTES_MAX || batches.size() >= BATCHES_MAX)) {
                changed.await();
            }
            heldBytes += batch.bytes();
            batches.add(batch);
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    private int[] keys(byte[][] words) throws IOException {
        CommandRule rule = CommandTable.find(words);
        if (rule == null || rule.keys() instanceof KeyPlaces.None) {
            return new int[0];
        }
        int[] keys = new int[0];
        if (rule.keys() instanceof KeyPlaces.First) {
            return words.length > 1 ? new int[] {1} : keys;
        }
        input.copyCommandTo((bytes, offset, length) -> {
            ByteBuf raw = Unpooled.wrappedBuffer(bytes, offset, length);
            commandKeys.find(raw, 0, rule.keys());
        });
        keys = new int[commandKeys.count()];
        for (int i = 0; i < keys.length; i++) {
            keys[i] = commandKeys.word(i);
        }
        return keys;
    }

    /** The next batch, waiting for it as long as that; null where none has come. The one before it is done with. */
    @Nullable
    Batch next(Duration limit) throws InterruptedException {
        lock.lockInterruptibly();
        try {
            heldBytes -= takenBytes;
            takenBytes = 0;
            changed.signalAll();
            long leftNanos = limit.toNanos();
            while (batches.isEmpty() && leftNanos > 0) {
                leftNanos = changed.awaitNanos(leftNanos);
            }
            Batch batch = batches.poll();
            takenBytes = batch == null ? 0 : batch.bytes();
            return batch;
        } finally {
            lock.unlock();
        }
    }
}
