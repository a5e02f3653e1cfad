package io.switchback.testkit.values;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.Replies;
import io.switchback.testkit.ServerBinary;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.function.IntFunction;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Pipeline;
import redis.clients.jedis.Response;
import redis.clients.jedis.exceptions.JedisDataException;
import redis.clients.jedis.util.JedisClusterCRC16;

/**
 * Fills a server or a cluster with every type of value in every encoding that its version has, small and large, by a fixed seed. From 7.0 on the servers must have been started with
 * {@code --enable-debug-command yes}. For one thread.
 */
public final class EveryForm {
    /** In 2100: far enough for every test, and the same in each run. */
    public static final long FAR_MS = 4_102_444_800_123L;

    /** A library of functions, loaded from 7.0 on. */
    public static final String LIBRARY =
            "#!lua name=everyform\nredis.register_function('everyform', function() return 1 end)";

    private static final int BATCH = 500;

    private final ServerBinary binary;
    private final List<Jedis> clients;
    /** Who has the key. */
    private final IntFunction<Jedis> ofSlot;

    private final boolean oneDatabase;
    private final Random random = new Random(20_261_129);
    private final Map<Jedis, List<byte[][]>> waiting = new HashMap<>();

    private EveryForm(ServerBinary binary, List<Jedis> clients, boolean oneDatabase, IntFunction<Jedis> ofSlot) {
        this.binary = binary;
        this.clients = clients;
        this.oneDatabase = oneDatabase;
        this.ofSlot = ofSlot;
    }

    /** Several databases of one server. */
    public static void fill(RealServer server) {
        fill(server, false);
    }

    /** Database 0 of one server, all that a cluster has. */
    public static void fillOneDatabase(RealServer server) {
        fill(server, true);
    }

    private static void fill(RealServer server, boolean oneDatabase) {
        try (Jedis client = server.client()) {
            new EveryForm(server.binary(), List.of(client), oneDatabase, slot -> client).fill();
        }
    }

    /** A cluster without replicas whose slots stand still, with keys on every shard. */
    public static void fill(RealCluster cluster) {
        Map<RealServer, Jedis> clients = new HashMap<>();
        Jedis[] ofSlot = new Jedis[RealCluster.SLOTS];
        try {
            for (RealServer node : cluster.nodes()) {
                Jedis client = node.client();
                clients.put(node, client);
                String own = node.text("CLUSTER", "MYID");
                for (Object range : (List<?>) Objects.requireNonNull(node.call("CLUSTER", "SLOTS"))) {
                    List<?> words = (List<?>) range;
                    if (own.equals(((List<?>) words.get(2)).get(2))) {
                        int first = Math.toIntExact((Long) words.get(0));
                        int last = Math.toIntExact((Long) words.get(1));
                        Arrays.fill(ofSlot, first, last + 1, client);
                    }
                }
            }
            new EveryForm(
                            cluster.nodes().getFirst().binary(),
                            List.copyOf(clients.values()),
                            true,
                            slot -> ofSlot[slot])
                    .fill();
        } finally {
            clients.values().forEach(Jedis::close);
        }
    }

    /** Whether that Redis knows it; every Valkey knows what Redis 7.2 does. */
    public static boolean knows(ServerBinary binary, int redisMajor, int redisMinor) {
        return binary.isValkey() || isAtLeast(binary, redisMajor, redisMinor);
    }

    /** Whether fields of hashes may have a time of their own there. */
    public static boolean knowsFieldExpiry(ServerBinary binary) {
        return binary.isValkey() ? isAtLeast(binary, 9, 0) : isAtLeast(binary, 7, 4);
    }

    /** Whether there are vector sets. */
    public static boolean knowsVectorSets(ServerBinary binary) {
        return !binary.isValkey() && isAtLeast(binary, 8, 0);
    }

    private static boolean isAtLeast(ServerBinary binary, int major, int minor) {
        String[] numbers = binary.version().split("[.-]", -1);
        int found = Integer.parseInt(numbers[0]);
        return found > major || (found == major && Integer.parseInt(numbers[1]) >= minor);
    }

    private void fill() {
        demand("CONFIG", "SET", "rdbcompression", "yes");
        strings();
        for (boolean packed : new boolean[] {true, false}) {
            packing(packed);
            String name = packed ? "packed" : "spread";
            for (int size : new int[] {1, 3, 40, 700, 5000}) {
                collections(name + size, small(size), size);
            }
            collections(name + "odd", odd(), 0);
            numbers(name);
        }
        packing(true);
        lists();
        edges();
        streams("small", 100);
        streams("large", 4096);
        if (knowsFieldExpiry(binary)) {
            fieldTimes();
        }
        if (!oneDatabase) {
            databases();
        }
        if (knows(binary, 7, 0)) {
            demand("FUNCTION", "LOAD", "REPLACE", LIBRARY);
        }
        if (knowsVectorSets(binary)) {
            for (int i = 0; i < 20; i++) {
                add(
                        "VADD",
                        "vectors",
                        "VALUES",
                        "3",
                        "" + i,
                        "1.5",
                        "-2",
                        "element" + i,
                        "SETATTR",
                        "{\"n\":" + i + "}");
            }
        }
        flush();
        for (int i = 0; i < 5; i++) {
            demand("CONFIG", "SET", "hz", "10");
        }
    }

    // Sending

    private void add(Object... words) {
        byte[][] command = new byte[words.length][];
        for (int i = 0; i < words.length; i++) {
            command[i] = words[i] instanceof byte[] bytes
                    ? bytes
                    : words[i].toString().getBytes(UTF_8);
        }
        Jedis client = ofSlot.apply(JedisClusterCRC16.getSlot(command[keyAt(command)]));
        List<byte[][]> queue = waiting.computeIfAbsent(client, of -> new ArrayList<>());
        queue.add(command);
        if (queue.size() == BATCH) {
            flush(client, queue);
        }
    }

    private static int keyAt(byte[][] command) {
        return switch (new String(command[0], UTF_8)) {
            case "XGROUP" -> 2;
            case "XREADGROUP" -> indexOf(command, "STREAMS") + 1;
            default -> 1;
        };
    }

    private static int indexOf(byte[][] command, String word) {
        for (int i = 0; i < command.length; i++) {
            if (Arrays.equals(command[i], word.getBytes(UTF_8))) {
                return i;
            }
        }
        throw new IllegalArgumentException(word);
    }

    private void flush() {
        waiting.forEach(EveryForm::flush);
    }

    private static void flush(Jedis client, List<byte[][]> queue) {
        List<Response<Object>> replies = new ArrayList<>();
        try (Pipeline pipeline = client.pipelined()) {
            for (byte[][] words : queue) {
                replies.add(pipeline.sendCommand(() -> words[0], Arrays.copyOfRange(words, 1, words.length)));
            }
            pipeline.sync();
        }
        for (int i = 0; i < replies.size(); i++) {
            try {
                replies.get(i).get();
            } catch (JedisDataException e) {
                throw new AssertionError(
                        new String(queue.get(i)[0], UTF_8) + " " + new String(queue.get(i)[1], UTF_8) + ": "
                                + e.getMessage(),
                        e);
            }
        }
        queue.clear();
    }

    /** To every server. */
    private void demand(String... words) {
        flush();
        clients.forEach(client -> Replies.call(client, words));
    }

    private void packing(boolean packed) {
        String entries = packed ? "100000" : "0";
        String bytes = packed ? "1000000" : "0";
        flush();
        for (String setting : List.of("hash-max-ziplist-", "zset-max-ziplist-")) {
            demand("CONFIG", "SET", setting + "entries", entries);
            demand("CONFIG", "SET", setting + "value", bytes);
        }
        demand("CONFIG", "SET", "set-max-intset-entries", packed ? "100000" : "0");
        if (knows(binary, 7, 2)) {
            demand("CONFIG", "SET", "set-max-listpack-entries", entries);
            demand("CONFIG", "SET", "set-max-listpack-value", bytes);
        }
    }

    // Elements

    private byte[] noise(int bytes) {
        byte[] noise = new byte[bytes];
        random.nextBytes(noise);
        return noise;
    }

    private static byte[] repetitive(int bytes, int salt) {
        byte[] text = new byte[bytes];
        for (int i = 0; i < bytes; i++) {
            text[i] = (byte)
                    ("abcdefghijklmnopqrstuvwxyz".charAt((i / 3 + salt) % 26) + (i % 1000 == salt % 1000 ? 1 : 0));
        }
        return text;
    }

    private static List<byte[]> small(int count) {
        List<byte[]> elements = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            elements.add((i % 3 == 0 ? "" + i * 37 : "element:" + i).getBytes(UTF_8));
        }
        return elements;
    }

    /** At the edges of every encoding of lengths and numbers. */
    private List<byte[]> odd() {
        List<byte[]> elements = new ArrayList<>();
        elements.add(new byte[0]);
        elements.add(new byte[] {0});
        elements.add("Straße 日本 🎈".getBytes(UTF_8));
        for (String number : List.of(
                "0",
                "-1",
                "12",
                "13",
                "127",
                "128",
                "-128",
                "-129",
                "4095",
                "4096",
                "-4096",
                "-4097",
                "8191",
                "32767",
                "-32768",
                "32768",
                "65536",
                "8388607",
                "-8388608",
                "8388608",
                "2147483647",
                "-2147483648",
                "2147483648",
                "9223372036854775807",
                "-9223372036854775808",
                "9223372036854775808",
                "007",
                "+1",
                "1.0",
                "-0",
                " 1")) {
            elements.add(number.getBytes(UTF_8));
        }
        for (int bytes : new int[] {
            1, 5, 62, 63, 64, 65, 125, 126, 127, 128, 253, 254, 255, 256, 4094, 4095, 4096, 4097, 16377, 16378, 16379,
            16380, 16381, 16382, 16383, 16384, 16385, 70_000
        }) {
            elements.add(noise(bytes));
            elements.add(repetitive(bytes, bytes));
        }
        return distinct(elements);
    }

    private static List<byte[]> distinct(List<byte[]> elements) {
        List<byte[]> distinct = new ArrayList<>();
        for (byte[] element : elements) {
            if (distinct.stream().noneMatch(other -> Arrays.equals(other, element))) {
                distinct.add(element);
            }
        }
        return distinct;
    }

    // Types

    private void strings() {
        for (String number :
                List.of("0", "-1", "127", "128", "-32769", "65536", "2147483648", "-9223372036854775808")) {
            add("SET", "number" + number, number);
        }
        int i = 0;
        for (byte[] value : odd()) {
            add("SET", "string" + i++, value);
        }
        add("SET", "compressible3M", repetitive(3 << 20, 7));
        add("SET", "noise3M", noise(3 << 20));
        add("SET", "blocks1M", new byte[1 << 20]);
        add("SET", new byte[] {(byte) 0xff, 0, '\r', '\n'}, "a key of bytes");
        add("SET", repetitive(30_000, 3), "a long key");
        add("SETBIT", "bits", "100000", "1");
        for (int user = 0; user < 3000; user++) {
            add("PFADD", "distinct", "user" + user);
        }
        add("PFADD", "sparse", "a", "b");
        add("SET", "timed", "v");
        add("PEXPIREAT", "timed", FAR_MS);
        add("SET", "timed3M", repetitive(3 << 20, 9));
        add("PEXPIREAT", "timed3M", FAR_MS + 1);
        flush();
        demand("DEBUG", "SET-ACTIVE-EXPIRE", "0");
        add("SET", "expired", "v", "PX", "1");
        add("RPUSH", "expired-list", "a", "b");
        add("PEXPIRE", "expired-list", "1");
        flush();
    }

    private void collections(String name, List<byte[]> elements, int size) {
        List<Object> hash = new ArrayList<>(List.of("HSET", "hash:" + name));
        List<Object> zset = new ArrayList<>(List.of("ZADD", "zset:" + name));
        List<Object> set = new ArrayList<>(List.of("SADD", "set:" + name));
        List<Object> list = new ArrayList<>(List.of("RPUSH", "list:" + name));
        for (int i = 0; i < elements.size(); i++) {
            byte[] element = elements.get(i);
            hash.add(element);
            hash.add(i % 4 == 0 ? element : ("v" + i).getBytes(UTF_8));
            zset.add(score(i));
            zset.add(element);
            set.add(element);
            list.add(element);
        }
        for (List<Object> command : List.of(hash, zset, set, list)) {
            add(command.toArray());
        }
        if (size == 40) {
            for (String type : List.of("hash:", "zset:", "set:", "list:")) {
                add("PEXPIREAT", type + name, FAR_MS + 2);
            }
        }
    }

    private String score(int i) {
        return switch (i % 12) {
            case 0 -> "+inf";
            case 1 -> "-inf";
            case 2 -> "0";
            case 3 -> "-0.0";
            case 4 -> Double.toString(random.nextDouble());
            case 5 -> Double.toString(Double.longBitsToDouble(random.nextLong() & 0x7fdf_ffff_ffff_ffffL));
            case 6 -> "4.9e-324";
            case 7 -> "1.7976931348623157e308";
            case 8 -> "9007199254740993";
            case 9 -> "0.1";
            case 10 -> Long.toString(random.nextLong());
            default -> Integer.toString(i);
        };
    }

    /** Sets that are kept as integers of each width. */
    private void numbers(String name) {
        add("SADD", "set:narrow" + name, "1", "-5", "300");
        add("SADD", "set:wide" + name, "1", "-70000", "300");
        add("SADD", "set:widest" + name, "1", "-5000000000", "9223372036854775807", "-9223372036854775808");
        List<Object> many = new ArrayList<>(List.of("SADD", "set:many" + name));
        for (int i = 0; i < 2000; i++) {
            many.add(i * 7 - 3000);
        }
        add(many.toArray());
    }

    /** Small values with an element of the length at which versions write listpacks in different ways. */
    private void edges() {
        for (byte[] element : List.of(noise(16_378), repetitive(16_378, 4))) {
            String name = "edge" + (element[0] & 0xff);
            add("RPUSH", "list:" + name, element, "z");
            add("HSET", "hash:" + name, "f", element);
            add("ZADD", "zset:" + name, "1", element);
            add("SADD", "set:" + name, element, "z");
            add("XADD", "stream:" + name, "1-1", "f", element);
        }
    }

    private void lists() {
        for (String node : List.of("-1", "-5", "3", "500")) {
            demand("CONFIG", "SET", "list-max-ziplist-size", node);
            demand("CONFIG", "SET", "list-compress-depth", node.equals("3") ? "1" : "0");
            List<Object> push = new ArrayList<>(List.of("RPUSH", "list:node" + node));
            push.addAll(small(3000));
            push.addAll(odd());
            add(push.toArray());
        }
        demand("CONFIG", "SET", "list-compress-depth", "0");
        demand("CONFIG", "SET", "list-max-ziplist-size", "-2");
        if (knows(binary, 7, 0)) {
            demand("DEBUG", "QUICKLIST-PACKED-THRESHOLD", "100B");
        }
        List<Object> plain = new ArrayList<>(List.of("RPUSH", "list:plain"));
        plain.addAll(odd());
        plain.add(repetitive(200_000, 5));
        plain.addAll(small(10));
        add(plain.toArray());
        flush();
        if (knows(binary, 7, 0)) {
            demand("DEBUG", "QUICKLIST-PACKED-THRESHOLD", "0");
        }
    }

    private void entry(String key, String id, Object... fields) {
        List<Object> command = new ArrayList<>(List.of("XADD", key, id));
        command.addAll(List.of(fields));
        add(command.toArray());
    }

    private void consumer(String key, String group, String name) {
        if (knows(binary, 6, 2)) {
            add("XGROUP", "CREATECONSUMER", key, group, name);
        } else {
            add("XREADGROUP", "GROUP", group, name, "STREAMS", key, "0");
        }
    }

    private void streams(String size, int nodeEntries) {
        demand("CONFIG", "SET", "stream-node-max-entries", "" + nodeEntries);
        String plain = "stream:plain" + size;
        entry(plain, "1-1", "f", "v");
        entry(plain, "1-2", "f", "w", "other", "12345");
        entry(plain, "18446744073709551614-18446744073709551615", "f", noise(300));
        String never = "stream:never" + size;
        add("XGROUP", "CREATE", never, "g", "$", "MKSTREAM");
        consumer(never, "g", "idle");
        String emptied = "stream:emptied" + size;
        entry(emptied, "5-5", "f", "v");
        add("XDEL", emptied, "5-5");
        String cut = "stream:cut" + size;
        String busy = "stream:busy" + size;
        for (int i = 1; i <= 400; i++) {
            entry(cut, i + "-7", "n", i);
            if (i % 5 == 0) {
                entry(busy, (1000 + i / 2) + "-" + i, "a", i, "b", repetitive(i, i), "c", -i);
            } else {
                entry(busy, (1000 + i / 2) + "-" + i, "same", "x" + i, "fields", i * 1000L);
            }
        }
        add("XTRIM", cut, "MAXLEN", "37");
        add("XGROUP", "CREATE", cut, "behind", "12-0");
        add("XGROUP", "CREATE", cut, "ahead", "9999-0");
        add("XGROUP", "CREATE", cut, "first", "364-7");
        add("XGROUP", "CREATE", cut, "last", "400-7");
        add("XGROUP", "CREATE", busy, "readers", "0");
        add("XGROUP", "CREATE", busy, new byte[] {0, (byte) 0xfe}, "1010-0");
        add("XGROUP", "CREATE", busy, "nobody", "$");
        add("XREADGROUP", "GROUP", "readers", "anna", "COUNT", "50", "STREAMS", busy, ">");
        add("XREADGROUP", "GROUP", "readers", "bert", "COUNT", "30", "STREAMS", busy, ">");
        consumer(busy, "readers", "idle");
        add("XREADGROUP", "GROUP", new byte[] {0, (byte) 0xfe}, "anna", "COUNT", "10", "STREAMS", busy, ">");
        add("XACK", busy, "readers", "1001-3", "1002-4");
        add("XCLAIM", busy, "readers", "cleo", "0", "1003-6", "1003-7", "TIME", "1600000000000", "RETRYCOUNT", "7");
        add("XCLAIM", busy, "readers", "cleo", "0", "1004-8", "TIME", "1600000000001", "RETRYCOUNT", "7");
        add("XDEL", busy, "1100-200", "1100-201", "1199-399");
        // Pending and gone: of these the group still knows.
        String gone = "stream:gone" + size;
        for (int i = 1; i <= 20; i++) {
            entry(gone, i + "-0", "n", i);
        }
        add("XGROUP", "CREATE", gone, "g", "0");
        add("XREADGROUP", "GROUP", "g", "anna", "STREAMS", gone, ">");
        add("XDEL", gone, "3-0", "4-0", "20-0");
        add("PEXPIREAT", gone, FAR_MS + 3);
        String gone6 = "stream:vanished" + size;
        entry(gone6, "7-0", "f", "v");
        add("XGROUP", "CREATE", gone6, "g", "0");
        add("XREADGROUP", "GROUP", "g", "anna", "STREAMS", gone6, ">");
        add("XDEL", gone6, "7-0");
        flush();
    }

    private void fieldTimes() {
        for (boolean packed : new boolean[] {true, false}) {
            packing(packed);
            String name = "fieldtimes:" + (packed ? "packed" : "spread");
            List<Object> hash = new ArrayList<>(List.of("HSET", name));
            for (int i = 0; i < 300; i++) {
                hash.add("f" + i);
                hash.add(i % 2 == 0 ? "" + i : "value" + i);
            }
            add(hash.toArray());
            for (int i = 0; i < 300; i += 3) {
                add("HPEXPIREAT", name, FAR_MS + i % 7, "FIELDS", "1", "f" + i);
            }
            add("HSET", name + ":one", "f", "v");
            add("HPEXPIREAT", name + ":one", FAR_MS, "FIELDS", "1", "f");
            add("PEXPIREAT", name + ":one", FAR_MS + 4);
            add("HSET", name + ":was", "f", "v", "g", "w");
            add("HPEXPIREAT", name + ":was", FAR_MS, "FIELDS", "1", "f");
            add("HPERSIST", name + ":was", "FIELDS", "1", "f");
        }
        packing(true);
    }

    private void databases() {
        for (String database : List.of("1", "9", "15")) {
            demand("SELECT", database);
            add("SET", "same name", database);
            add("RPUSH", "list" + database, "a", database);
            add("PEXPIREAT", "list" + database, FAR_MS + 5);
        }
        demand("SELECT", "0");
    }
}
