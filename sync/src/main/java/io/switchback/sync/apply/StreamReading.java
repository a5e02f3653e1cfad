package io.switchback.sync.apply;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.resp.CommandKeys;
import io.switchback.resp.CommandRule;
import io.switchback.resp.CommandTable;
import io.switchback.resp.KeyPlaces;
import io.switchback.sync.source.SourceConnection;
import io.switchback.sync.source.WireInput;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Reads a source's stream on a thread of its own, so that whoever applies it can also wait for something else; commands are handed over in batches, at once where
 * the source has nothing more to say for the moment.
 *
 * <p>Bounded: {@link #BATCHES_MAX} batches of at most {@link #BATCH_BYTES} or one command; then nothing more is read.
 */
final class StreamReading {
    static final int BATCHES_MAX = 16;
    static final int BATCH_BYTES = 256 * 1024;

    private final SourceConnection source;
    private final long offsetOfFirst;
    private final CommandKeys commandKeys = new CommandKeys();
    private final ArrayBlockingQueue<Batch> batches = new ArrayBlockingQueue<>(BATCHES_MAX);
    private List<StreamCommand> next = new ArrayList<>();
    private long nextFrom;

    /**
     * What was read together.
     *
     * @param end why nothing will follow it; null where something may
     */
    record Batch(List<StreamCommand> commands, @Nullable IOException end) {}

    /** @param offset of the source's stream, where its input stands now */
    StreamReading(SourceConnection source, long offset) {
        this.source = source;
        this.offsetOfFirst = offset - source.input().consumed();
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
            batches.put(new Batch(next, end));
        } catch (InterruptedException e) {
            // Nobody waits for more.
        }
    }

    private IOException readAll() throws IOException {
        WireInput input = source.input();
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
                batches.put(new Batch(next, null));
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IOException("stopped", e);
            }
            next = new ArrayList<>();
        }
        nextFrom = source.input().consumed();
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
        source.input().copyCommandTo((bytes, offset, length) -> {
            ByteBuf raw = Unpooled.wrappedBuffer(bytes, offset, length);
            commandKeys.find(raw, 0, rule.keys());
        });
        keys = new int[commandKeys.count()];
        for (int i = 0; i < keys.length; i++) {
            keys[i] = commandKeys.word(i);
        }
        return keys;
    }

    /** The next batch, waiting for it as long as that; null where none has come. */
    @Nullable
    Batch next(Duration limit) throws InterruptedException {
        return batches.poll(limit.toNanos(), TimeUnit.NANOSECONDS);
    }
}
