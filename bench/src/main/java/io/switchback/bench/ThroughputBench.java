package io.switchback.bench;

import io.switchback.bench.LoadTool.Way;
import io.switchback.bench.SideBySide.Run;
import io.switchback.bench.SideBySide.Side;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.OptionalLong;
import java.util.function.Consumer;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Pipeline;

/** Requests through the proxy against requests straight to the same server, {@link SideBySide}. For one thread. */
final class ThroughputBench {
    private static final int KEYS = 100_000;
    private static final int PRELOAD_BATCH = 1_000;

    private final Target direct;
    private final Target proxy;
    private final SideBySide sides;

    /** Something that answers on a port, and its process. */
    record Target(String name, int port, long processId) {}

    /** The medians of a case, side by side; {@code disturbed} runs could not be had without foreign work. */
    record Row(Case what, Run direct, Run proxied, double ratio, long proxyMemoryKib, int disturbed) {}

    ThroughputBench(LoadTool tool, Target direct, Target proxy, int runs, double secondsPerRun) {
        this.direct = direct;
        this.proxy = proxy;
        List<Long> server = List.of(direct.processId());
        this.sides = new SideBySide(
                tool,
                List.of(
                        new Side(direct.name(), Way.plain(direct.port(), KEYS), OptionalLong.empty(), server),
                        new Side(
                                proxy.name(),
                                Way.plain(proxy.port(), KEYS),
                                OptionalLong.of(proxy.processId()),
                                server)),
                runs,
                secondsPerRun,
                SideBySide.QUIET_LIMIT);
    }

    static List<Case> allCases() {
        List<Case> cases = new ArrayList<>();
        for (int valueBytes : List.of(64, 1024)) {
            for (String operation : List.of("get", "set")) {
                for (int pipeline : List.of(1, 16, 64)) {
                    cases.add(new Case(operation, pipeline, valueBytes));
                }
            }
        }
        return cases;
    }

    List<Row> measure(List<Case> cases, Consumer<Row> progress) {
        List<Row> rows = new ArrayList<>();
        int preloaded = 0;
        for (Case what : cases) {
            if (what.valueBytes() != preloaded) {
                try (Jedis client = new Jedis("127.0.0.1", direct.port(), 20_000)) {
                    preload(client, KEYS, what.valueBytes());
                }
                preloaded = what.valueBytes();
            }
            Row row = measure(what);
            rows.add(row);
            progress.accept(row);
        }
        return rows;
    }

    private Row measure(Case what) {
        List<SideBySide.Row> both = sides.measure(what);
        Run straight = both.getFirst().medians();
        Run proxied = both.getLast().medians();
        return new Row(
                what,
                straight,
                proxied,
                proxied.requestsPerSecond() / straight.requestsPerSecond(),
                Machine.memoryKib(proxy.processId(), "VmRSS"),
                both.getFirst().disturbed() + both.getLast().disturbed());
    }

    /** Sets the keys that {@link LoadTool} asks for. */
    static void preload(Jedis client, int keys, int valueBytes) {
        byte[] value = new byte[valueBytes];
        Arrays.fill(value, (byte) 'x');
        for (int from = 0; from < keys; from += PRELOAD_BATCH) {
            Pipeline pipeline = client.pipelined();
            for (int key = from; key < Math.min(keys, from + PRELOAD_BATCH); key++) {
                pipeline.set(String.format(Locale.ROOT, "key:%012d", key).getBytes(StandardCharsets.US_ASCII), value);
            }
            pipeline.sync();
        }
    }
}
