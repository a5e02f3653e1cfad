package io.switchback.testkit.load;

import io.switchback.testkit.load.Registers.Expiry;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Pipeline;
import redis.clients.jedis.Transaction;
import redis.clients.jedis.exceptions.JedisDataException;
import redis.clients.jedis.exceptions.JedisException;

/**
 * One client of a {@link Load}: a thread with a connection that writes what nobody else writes, and reads it again.
 *
 * <p>An operation without a good answer is never assumed not to have happened: an error may come from the middle of a chain, and
 * a server may execute what it has read after its client is long gone. What it wrote to is left alone from then on.
 */
final class LoadClient implements Runnable {
    private static final Logger LOG = LoggerFactory.getLogger(LoadClient.class);
    private static final int PIPELINE_WRITES = 8;
    private static final int PRELOAD_WRITES = 500;
    private static final long TIME_TO_LIVE_SECONDS = 3_600;
    private static final long RECONNECT_NANOS = 10_000_000;

    /** After a pause, no more than this is made up for in a burst. */
    private static final long CATCH_UP_NANOS_MAX = 20_000_000;

    private final LoadSettings settings;
    private final ClientRecord record;
    private final SplittableRandom random;
    private final long intervalNanos;
    private final CountDownLatch ready;
    private volatile boolean stopping;
    private Jedis connection;
    private long nextNanos;
    private long sequence;

    /** Connects; throws a {@link JedisException} where that fails. */
    LoadClient(LoadSettings settings, ClientRecord record, int number, CountDownLatch ready) {
        this.settings = settings;
        this.record = record;
        this.random = new SplittableRandom(settings.seed() * 1_000_003 + number);
        this.intervalNanos = settings.operationsPerSecond() == 0
                ? 0
                : 1_000_000_000L * settings.clients() / settings.operationsPerSecond();
        this.ready = ready;
        this.connection = connect();
        // The clients do not all ask in the same moment.
        this.nextNanos = System.nanoTime() + intervalNanos * number / settings.clients();
    }

    private Jedis connect() {
        int timeoutMs = Math.toIntExact(settings.timeout().toMillis());
        DefaultJedisClientConfig.Builder config = DefaultJedisClientConfig.builder()
                .connectionTimeoutMillis(timeoutMs)
                .socketTimeoutMillis(timeoutMs)
                .database(record.database);
        settings.user().ifPresent(config::user);
        settings.password().ifPresent(config::password);
        return new Jedis(new HostAndPort(settings.host(), settings.port()), config.build());
    }

    void stop() {
        stopping = true;
    }

    @Override
    public void run() {
        try {
            if (settings.preload()) {
                preload();
            }
            ready.countDown();
            nextNanos = Math.max(nextNanos, System.nanoTime());
            while (!stopping) {
                pace();
                operate();
            }
        } finally {
            ready.countDown();
            connection.close();
        }
    }

    private void preload() {
        int strings = record.registers(RegisterKind.STRING).slots();
        for (int from = 0; from < strings && !stopping; from += PRELOAD_WRITES) {
            int first = from;
            int count = Math.min(PRELOAD_WRITES, strings - from);
            pipelineOfWrites(count, i -> first + i);
        }
    }

    private void pace() {
        if (intervalNanos == 0) {
            return;
        }
        long now = System.nanoTime();
        if (now - nextNanos > CATCH_UP_NANOS_MAX) {
            nextNanos = now - CATCH_UP_NANOS_MAX;
        }
        while (nextNanos - now > 0 && !stopping) {
            LockSupport.parkNanos(nextNanos - now);
            now = System.nanoTime();
        }
        nextNanos += intervalNanos;
    }

    /** One operation, drawn by weight: two fifths are reads of what was written before. */
    private void operate() {
        int draw = random.nextInt(100);
        if (record.lists.tooMany()) {
            deleteOldestList();
        } else if (draw < 40) {
            readOwnWrite();
        } else if (draw < 62) {
            write(RegisterKind.STRING);
        } else if (draw < 70) {
            increment();
        } else if (draw < 75) {
            append();
        } else if (draw < 81) {
            write(RegisterKind.HASH_FIELD);
        } else if (draw < 86) {
            write(RegisterKind.SCORE);
        } else if (draw < 91) {
            write(RegisterKind.EXPIRING);
        } else if (draw < 95) {
            write(RegisterKind.PAIR);
        } else if (draw < 97) {
            deleteString();
        } else {
            Registers strings = record.registers(RegisterKind.STRING);
            int first = random.nextInt(strings.slots());
            pipelineOfWrites(Math.min(PIPELINE_WRITES, strings.slots()), i -> (first + i) % strings.slots());
        }
    }

    private void write(RegisterKind kind) {
        Registers registers = record.registers(kind);
        int slot = random.nextInt(registers.slots());
        int generation = registers.generation(slot);
        Names names = record.names;
        long number = ++sequence;
        String value = names.value(number);
        attempt(
                () -> {
                    long askedMs = System.currentTimeMillis();
                    switch (kind) {
                        case STRING -> expect("OK", connection.set(names.string(slot, generation), value));
                        case EXPIRING ->
                            expect(
                                    "OK",
                                    connection.setex(names.expiring(slot, generation), TIME_TO_LIVE_SECONDS, value));
                        case HASH_FIELD ->
                            expect(
                                    registers.acknowledged(slot) == Registers.NONE ? 1L : 0L,
                                    connection.hset(names.hash(slot), names.member(slot, generation), value));
                        case SCORE ->
                            expect(
                                    registers.acknowledged(slot) == Registers.NONE ? 1L : 0L,
                                    connection.zadd(
                                            names.sortedSet(slot), (double) number, names.member(slot, generation)));
                        case PAIR -> writePair(slot, generation, value);
                    }
                    Expiry expiry = kind == RegisterKind.EXPIRING
                            ? new Expiry(
                                    askedMs + TIME_TO_LIVE_SECONDS * 1_000,
                                    System.currentTimeMillis() + TIME_TO_LIVE_SECONDS * 1_000)
                            : Expiry.NEVER;
                    registers.acknowledge(slot, number, expiry);
                    record.timeline.acknowledgedWrites(kind == RegisterKind.PAIR ? 2 : 1);
                },
                () -> registers.unknown(slot, number));
    }

    private void writePair(int slot, int generation, String value) {
        Transaction transaction = connection.multi();
        transaction.set(record.names.pairFirst(slot, generation), value);
        transaction.set(record.names.pairSecond(slot, generation), value);
        expect(List.of("OK", "OK"), transaction.exec());
    }

    private void deleteString() {
        Registers strings = record.registers(RegisterKind.STRING);
        int slot = random.nextInt(strings.slots());
        attempt(
                () -> {
                    long before = strings.acknowledged(slot);
                    boolean there = before != Registers.NONE && before != Registers.GONE;
                    expect(there ? 1L : 0L, connection.del(record.names.string(slot, strings.generation(slot))));
                    strings.acknowledge(slot, Registers.GONE);
                    record.timeline.acknowledgedWrites(1);
                },
                () -> strings.unknown(slot, Registers.GONE));
    }

    private void increment() {
        Counters counters = record.counters;
        int slot = random.nextInt(counters.slots());
        attempt(
                () -> {
                    long value = connection.incr(record.names.counter(slot, counters.generation(slot)));
                    counters.acknowledge(slot);
                    record.timeline.acknowledgedWrites(1);
                    if (value != counters.acknowledged(slot)) {
                        // Left as it is: the final check counts what is lost or done twice.
                        staleRead("INCR", counters.acknowledged(slot), value);
                        counters.retire(slot, 0);
                    }
                },
                () -> counters.retire(slot, 1));
    }

    private void append() {
        Lists lists = record.lists;
        attempt(
                () -> {
                    int element = lists.length();
                    int generation = lists.generation();
                    long length = connection.rpush(record.names.list(generation), Integer.toString(element));
                    lists.acknowledge();
                    record.timeline.acknowledgedWrites(1);
                    if (length != element + 1L && lists.generation() == generation) {
                        staleRead("RPUSH", element + 1L, length);
                        lists.retire(false);
                    }
                },
                () -> lists.retire(true));
    }

    private void deleteOldestList() {
        Lists lists = record.lists;
        attempt(
                () -> {
                    expect(1L, connection.del(record.names.list(lists.oldestFull())));
                    lists.deletedOldest(true);
                    record.timeline.acknowledgedWrites(1);
                },
                () -> lists.deletedOldest(false));
    }

    private void pipelineOfWrites(int count, java.util.function.IntUnaryOperator slotOf) {
        Registers strings = record.registers(RegisterKind.STRING);
        long first = sequence + 1;
        sequence += count;
        attempt(
                () -> {
                    Pipeline pipeline = connection.pipelined();
                    for (int i = 0; i < count; i++) {
                        int slot = slotOf.applyAsInt(i);
                        pipeline.set(
                                record.names.string(slot, strings.generation(slot)), record.names.value(first + i));
                    }
                    List<Object> replies = pipeline.syncAndReturnAll();
                    for (int i = 0; i < count; i++) {
                        expect("OK", replies.get(i));
                    }
                    for (int i = 0; i < count; i++) {
                        strings.acknowledge(slotOf.applyAsInt(i), first + i);
                    }
                    record.timeline.acknowledgedWrites(count);
                },
                () -> {
                    for (int i = 0; i < count; i++) {
                        strings.unknown(slotOf.applyAsInt(i), first + i);
                    }
                });
    }

    private void readOwnWrite() {
        int draw = random.nextInt(10);
        if (draw == 0) {
            readCounter();
        } else if (draw == 1) {
            readLastElement();
        } else if (draw == 2) {
            readRegister(RegisterKind.PAIR);
        } else if (draw == 3) {
            readRegister(RegisterKind.HASH_FIELD);
        } else if (draw == 4) {
            readRegister(RegisterKind.SCORE);
        } else if (draw == 5) {
            readRegister(RegisterKind.EXPIRING);
        } else {
            readRegister(RegisterKind.STRING);
        }
    }

    private void readRegister(RegisterKind kind) {
        Registers registers = record.registers(kind);
        int slot = random.nextInt(registers.slots());
        long known = registers.acknowledged(slot);
        if (known == Registers.NONE && kind == RegisterKind.STRING) {
            write(kind); // nothing to read yet
            return;
        }
        attempt(
                () -> {
                    for (long seen : read(kind, slot, registers.generation(slot))) {
                        if (seen != (known == Registers.GONE ? Registers.NONE : known)) {
                            staleRead("read of a " + kind, known, seen);
                        }
                    }
                },
                () -> {});
    }

    private long[] read(RegisterKind kind, int slot, int generation) {
        Names names = record.names;
        return switch (kind) {
            case STRING -> one(names.sequenceOf(connection.get(names.string(slot, generation))));
            case EXPIRING -> one(names.sequenceOf(connection.get(names.expiring(slot, generation))));
            case HASH_FIELD -> one(names.sequenceOf(connection.hget(names.hash(slot), names.member(slot, generation))));
            case SCORE -> one(sequenceOf(connection.zscore(names.sortedSet(slot), names.member(slot, generation))));
            case PAIR ->
                connection.mget(names.pairFirst(slot, generation), names.pairSecond(slot, generation)).stream()
                        .mapToLong(names::sequenceOf)
                        .toArray();
        };
    }

    private static long[] one(long sequence) {
        return new long[] {sequence};
    }

    static long sequenceOf(@Nullable Double score) {
        return score == null ? Registers.NONE : score.longValue();
    }

    private void readCounter() {
        int slot = random.nextInt(record.counters.slots());
        long known = record.counters.acknowledged(slot);
        attempt(
                () -> {
                    String value = connection.get(record.names.counter(slot, record.counters.generation(slot)));
                    if (known != (value == null ? 0 : Long.parseLong(value))) {
                        staleRead("read of a counter", known, value);
                    }
                },
                () -> {});
    }

    private void readLastElement() {
        int length = record.lists.length();
        attempt(
                () -> {
                    List<String> last = connection.lrange(record.names.list(record.lists.generation()), -1, -1);
                    List<String> known = length == 0 ? List.of() : List.of(Integer.toString(length - 1));
                    if (!last.equals(known)) {
                        staleRead("read of a list's end", known, last);
                    }
                },
                () -> {});
    }

    /** Does the operation and records how it ended; {@code onUnknown} is run where its outcome is not known. */
    private void attempt(Runnable operation, Runnable onUnknown) {
        long asked = System.nanoTime();
        record.timeline.asked(asked);
        try {
            operation.run();
            record.timeline.answered(asked, System.nanoTime());
        } catch (JedisDataException e) {
            LOG.debug("client {} was answered by an error: {}", record.names.client(), e.getMessage());
            record.timeline.failed(System.nanoTime());
            onUnknown.run();
            if (connection.getClient().isBroken()) {
                reconnect();
            }
        } catch (WrongReply | ClassCastException | NumberFormatException e) {
            // Not what a server answers to this: replies may have changed places, so the connection cannot be trusted
            // either.
            LOG.warn("client {} got a wrong reply: {}", record.names.client(), e.getMessage());
            record.timeline.wrongReply();
            record.timeline.failed(System.nanoTime());
            onUnknown.run();
            reconnect();
        } catch (JedisException e) {
            LOG.debug("client {} lost its connection: {}", record.names.client(), e.getMessage());
            record.timeline.failed(System.nanoTime());
            onUnknown.run();
            reconnect();
        }
    }

    private void reconnect() {
        connection.close();
        while (!stopping) {
            try {
                connection = connect();
                record.timeline.reconnected();
                return;
            } catch (JedisException e) {
                LOG.debug("client {} cannot connect: {}", record.names.client(), e.getMessage());
                record.timeline.failed(System.nanoTime());
                LockSupport.parkNanos(RECONNECT_NANOS);
            }
        }
    }

    private void staleRead(String what, Object known, @Nullable Object seen) {
        LOG.warn("client {}: {} showed {} instead of {}", record.names.client(), what, seen, known);
        record.timeline.staleRead();
    }

    private static void expect(Object wanted, @Nullable Object reply) {
        if (reply instanceof JedisDataException error) {
            throw error;
        }
        if (!wanted.equals(reply)) {
            throw new WrongReply("expected " + wanted + ", got " + reply);
        }
    }

    /** A reply that the operation cannot have. */
    private static final class WrongReply extends RuntimeException {
        private static final long serialVersionUID = 1;

        WrongReply(String message) {
            super(message);
        }
    }

    /** The numbers of a list's elements as they stand; {@link Registers#FOREIGN} for what is no number. */
    static List<Long> elements(List<String> values) {
        List<Long> numbers = new ArrayList<>(values.size());
        for (String value : values) {
            try {
                numbers.add(Long.parseLong(value));
            } catch (NumberFormatException e) {
                numbers.add(Registers.FOREIGN);
            }
        }
        return numbers;
    }
}
