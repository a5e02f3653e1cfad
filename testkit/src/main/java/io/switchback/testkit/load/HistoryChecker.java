package io.switchback.testkit.load;

import io.switchback.testkit.load.Registers.Expectation;
import io.switchback.testkit.load.Registers.Expiry;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Pipeline;
import redis.clients.jedis.Response;

/** Looks up what clients were told, once their load is over. For one thread. */
public final class HistoryChecker {
    private static final int BATCH = 1_000;
    private static final int EXAMPLES_MAX = 20;

    /** How far a time to live may be off: the reply's way and the two clocks' reading, not more. */
    private static final long TIME_TO_LIVE_TOLERANCE_MS = 3_000;

    private final Jedis server;
    private final List<String> examples = new ArrayList<>();
    private long checked;
    private long found;
    private long lost;
    private long twice;
    private long outOfOrder;
    private long cameBack;
    private long unknown;

    private HistoryChecker(Jedis server) {
        this.server = server;
    }

    /**
     * Holds everything that the clients were told against what the server holds.
     *
     * @param server a connection to the fleet in use, direct or through the proxy; its database is changed and put back
     */
    public static CheckReport check(LoadHistory history, Jedis server) {
        HistoryChecker checker = new HistoryChecker(server);
        int database = server.getDB();
        try {
            for (ClientRecord record : history.records()) {
                server.select(record.database);
                checker.check(record);
            }
        } finally {
            server.select(database);
        }
        LoadSnapshot total = history.total();
        return new CheckReport(
                total.acknowledgedWrites(),
                checker.checked,
                checker.found,
                checker.lost,
                checker.twice,
                checker.outOfOrder,
                checker.cameBack,
                total.staleReads(),
                total.wrongReplies(),
                checker.unknown,
                List.copyOf(checker.examples));
    }

    private void check(ClientRecord record) {
        for (RegisterKind kind : RegisterKind.values()) {
            List<Expectation> batch = new ArrayList<>();
            record.registers(kind).forEach(expectation -> {
                batch.add(expectation);
                if (batch.size() == BATCH) {
                    checkRegisters(record.names, batch);
                    batch.clear();
                }
            });
            checkRegisters(record.names, batch);
        }
        record.counters.forEach(expectation -> checkCounter(record.names, expectation));
        record.lists.forEach(expectation -> checkList(record.names, expectation));
        record.lists.forEachDeleted(generation -> checkDeleted(record.names.list(generation)));
        unknown += record.forgotten();
    }

    private void checkRegisters(Names names, List<Expectation> batch) {
        Pipeline pipeline = server.pipelined();
        List<Runnable> checks = new ArrayList<>();
        for (Expectation expected : batch) {
            int slot = expected.slot();
            int generation = expected.generation();
            switch (expected.kind()) {
                case STRING -> checks.add(checkValue(names, expected, pipeline, names.string(slot, generation)));
                case EXPIRING -> checks.add(checkExpiring(names, expected, pipeline));
                case PAIR -> checks.add(checkPair(names, expected, pipeline));
                case HASH_FIELD -> {
                    String member = names.member(slot, generation);
                    Response<String> value = pipeline.hget(names.hash(slot), member);
                    checks.add(() ->
                            judge(expected, names.sequenceOf(value.get()), names.hash(slot) + " field " + member));
                }
                case SCORE -> {
                    String member = names.member(slot, generation);
                    Response<Double> score = pipeline.zscore(names.sortedSet(slot), member);
                    checks.add(() -> judge(
                            expected, LoadClient.sequenceOf(score.get()), names.sortedSet(slot) + " member " + member));
                }
            }
            unknown += expected.unknown() == Registers.NONE ? 0 : 1;
        }
        pipeline.sync();
        checks.forEach(Runnable::run);
    }

    private Runnable checkValue(Names names, Expectation expected, Pipeline pipeline, String key) {
        Response<String> value = pipeline.get(key);
        return () -> judge(expected, names.sequenceOf(value.get()), key);
    }

    /** Both of a pair, each an acknowledged write; one without the other would show an older number. */
    private Runnable checkPair(Names names, Expectation expected, Pipeline pipeline) {
        Runnable first = checkValue(names, expected, pipeline, names.pairFirst(expected.slot(), expected.generation()));
        Runnable second =
                checkValue(names, expected, pipeline, names.pairSecond(expected.slot(), expected.generation()));
        return () -> {
            first.run();
            second.run();
        };
    }

    private Runnable checkExpiring(Names names, Expectation expected, Pipeline pipeline) {
        String key = names.expiring(expected.slot(), expected.generation());
        Response<String> value = pipeline.get(key);
        Response<Long> timeToLiveMs = pipeline.pttl(key);
        return () -> {
            long seen = names.sequenceOf(value.get());
            long offMs = expected.expiry().distanceMs(System.currentTimeMillis() + timeToLiveMs.get());
            boolean alive = !expected.expiry().equals(Expiry.NEVER) && seen == expected.acknowledged();
            if (alive && offMs > TIME_TO_LIVE_TOLERANCE_MS) {
                // The value without its time to live is not what was written.
                checked++;
                lost++;
                example(key + " has a time to live of " + timeToLiveMs.get() + " ms, off by " + offMs + " ms");
            } else {
                judge(expected, seen, key);
            }
        };
    }

    private void judge(Expectation expected, long seen, String what) {
        boolean written = expected.acknowledged() >= 0;
        long before = written ? expected.acknowledged() : Registers.NONE;
        long after = expected.unknown() == Registers.GONE ? Registers.NONE : expected.unknown();
        boolean right = seen == before || (expected.unknown() != Registers.NONE && seen == after);
        if (written) {
            checked++;
            if (right) {
                found++;
            } else {
                lost++;
                example(what + " shows write " + seen + " instead of " + before);
            }
        } else if (!right) {
            cameBack++;
            example(what + " was deleted or never written, and shows write " + seen);
        }
    }

    private void checkCounter(Names names, Counters.Expectation expected) {
        String key = names.counter(expected.slot(), expected.generation());
        @Nullable String text = server.get(key);
        long value = text == null ? 0 : Long.parseLong(text);
        unknown += expected.unknown();
        checked += expected.acknowledged();
        found += Math.min(value, expected.acknowledged());
        if (value < expected.acknowledged()) {
            lost += expected.acknowledged() - value;
            example(key + " stands at " + value + " after " + expected.acknowledged() + " increments");
        } else if (value > expected.acknowledged() + expected.unknown()) {
            twice += value - expected.acknowledged() - expected.unknown();
            example(key + " stands at " + value + " after " + expected.acknowledged() + " increments and "
                    + expected.unknown() + " unknown");
        }
    }

    private void checkList(Names names, Lists.Expectation expected) {
        String key = names.list(expected.generation());
        List<Long> elements = LoadClient.elements(server.lrange(key, 0, -1));
        Map<Long, Integer> counts = new HashMap<>();
        elements.forEach(element -> counts.merge(element, 1, Integer::sum));
        long last = -1;
        for (long element : elements) {
            boolean known = element >= 0 && element < expected.acknowledged();
            if (known && element < last) {
                outOfOrder++;
                example(key + " holds " + element + " after " + last);
            }
            last = known ? Math.max(last, element) : last;
        }
        for (long element = 0; element < expected.acknowledged(); element++) {
            int times = counts.getOrDefault(element, 0);
            checked++;
            if (times == 0) {
                lost++;
                example(key + " lacks " + element);
            } else {
                found++;
            }
        }
        unknown += expected.oneUnknown() ? 1 : 0;
        counts.forEach((element, times) -> {
            boolean known = element >= 0 && element < expected.acknowledged();
            boolean perhaps = expected.oneUnknown() && element == expected.acknowledged();
            int tooMany = times - (known || perhaps ? 1 : 0);
            if (tooMany > 0) {
                twice += tooMany;
                example(key + " holds " + element + " " + times + " times");
            }
        });
    }

    private void checkDeleted(String key) {
        if (server.exists(key)) {
            cameBack++;
            example(key + " was deleted, and is there");
        }
    }

    private void example(String what) {
        if (examples.size() < EXAMPLES_MAX) {
            examples.add(what);
        }
    }

    /** The keys of a history that hold plain strings, for tests that plant something. */
    static Stream<String> writtenStrings(LoadHistory history) {
        return history.records().stream().flatMap(record -> {
            Registers strings = record.registers(RegisterKind.STRING);
            List<String> keys = new ArrayList<>();
            strings.forEach(expectation -> {
                if (expectation.acknowledged() >= 0 && expectation.unknown() == Registers.NONE) {
                    keys.add(record.names.string(expectation.slot(), expectation.generation()));
                }
            });
            return keys.stream();
        });
    }
}
