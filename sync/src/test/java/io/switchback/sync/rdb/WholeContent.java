package io.switchback.sync.rdb;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerVersion;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;

/**
 * Everything that a server says of its keys, as text that is the same on servers of all versions, in parts, so that a test can leave out what one
 * side does not know: "database/key" to the part's name to the text.
 */
final class WholeContent {
    static final String VALUE = "value";
    static final String EXPIRES = "expires";
    static final String FIELD_TIMES = "field times";
    static final String COUNTERS = "counters";
    static final String PENDING = "pending";
    static final String SEEN = "seen";
    static final String ACTIVE = "active";

    private final ServerConnection server;
    private final ServerVersion version;

    private WholeContent(ServerConnection server) {
        this.server = server;
        this.version = ServerVersion.read(server);
    }

    static Map<String, Map<String, String>> of(ServerConnection server) {
        return new WholeContent(server).read();
    }

    private Map<String, Map<String, String>> read() {
        Map<String, Map<String, String>> keys = new TreeMap<>();
        for (int database = 0; database < 16; database++) {
            server.demand("SELECT", Integer.toString(database));
            for (Reply key : elements(server.demand("KEYS", "*"))) {
                byte[] name = ((Reply.Bulk) key).bytes();
                if (((Reply.Int) call("EXISTS", name)).value() == 1) {
                    keys.put(database + "/" + new String(name, ISO_8859_1), parts(name));
                }
            }
        }
        server.demand("SELECT", "0");
        return keys;
    }

    private Reply call(String command, byte[] key, String... more) {
        List<byte[]> words = new ArrayList<>(List.of(command.getBytes(ISO_8859_1), key));
        for (String word : more) {
            words.add(word.getBytes(ISO_8859_1));
        }
        return server.call(words.toArray(byte[][]::new));
    }

    private Map<String, String> parts(byte[] key) {
        Map<String, String> parts = new TreeMap<>();
        String type = call("TYPE", key).text();
        switch (type) {
            case "string" -> parts.put(VALUE, text(call("GET", key)));
            case "list" -> parts.put(VALUE, type + texts(call("LRANGE", key, "0", "-1")));
            case "set" ->
                parts.put(
                        VALUE,
                        type + texts(call("SMEMBERS", key)).stream().sorted().toList());
            case "zset" -> parts.put(VALUE, type + scores(texts(call("ZRANGE", key, "0", "-1", "WITHSCORES"))));
            case "hash" -> hash(key, parts);
            case "stream" -> stream(key, parts);
            default -> parts.put(VALUE, type + vectors(key));
        }
        parts.put(EXPIRES, expires(key));
        return parts;
    }

    private Map<String, String> vectors(byte[] key) {
        Map<String, String> vectors = new TreeMap<>();
        for (String element : texts(call("VRANDMEMBER", key, "100000"))) {
            vectors.put(element, texts(call("VEMB", key, element)) + text(call("VGETATTR", key, element)));
        }
        return vectors;
    }

    private void hash(byte[] key, Map<String, String> parts) {
        List<String> flat = texts(call("HGETALL", key));
        Map<String, String> fields = new TreeMap<>();
        for (int i = 0; i < flat.size(); i += 2) {
            fields.put(flat.get(i), flat.get(i + 1));
        }
        parts.put(VALUE, "hash" + fields);
        Map<String, String> times = new TreeMap<>();
        if (Known.fieldExpiry(version)) {
            for (String field : fields.keySet()) {
                String at = call("HPEXPIRETIME", key, "FIELDS", "1", field).text();
                if (!at.equals("[-1]")) {
                    times.put(field, at);
                }
            }
        }
        if (!times.isEmpty()) {
            parts.put(FIELD_TIMES, times.toString());
        }
    }

    private static Map<String, Reply> map(Reply reply) {
        Map<String, Reply> fields = new TreeMap<>();
        List<Reply> flat = elements(reply);
        for (int i = 0; i + 1 < flat.size(); i += 2) {
            fields.put(flat.get(i).text(), flat.get(i + 1));
        }
        return fields;
    }

    private static Reply field(Map<String, Reply> fields, String name) {
        return Objects.requireNonNull(fields.get(name), name);
    }

    private void stream(byte[] key, Map<String, String> parts) {
        Reply reply = server.call(
                "XINFO".getBytes(ISO_8859_1),
                "STREAM".getBytes(ISO_8859_1),
                key,
                "FULL".getBytes(ISO_8859_1),
                "COUNT".getBytes(ISO_8859_1),
                "0".getBytes(ISO_8859_1));
        Map<String, Reply> stream = map(reply);
        StringBuilder value = new StringBuilder("stream " + text(field(stream, "entries")) + " last "
                + field(stream, "last-generated-id").text());
        StringBuilder counters = new StringBuilder();
        if (stream.containsKey("entries-added")) {
            counters.append(field(stream, "max-deleted-entry-id").text())
                    .append(' ')
                    .append(field(stream, "entries-added").text());
        }
        StringBuilder pending = new StringBuilder();
        StringBuilder seen = new StringBuilder();
        StringBuilder active = new StringBuilder();
        for (Reply each : elements(field(stream, "groups"))) {
            Map<String, Reply> group = map(each);
            value.append(" group ")
                    .append(text(field(group, "name")))
                    .append(" at ")
                    .append(field(group, "last-delivered-id").text());
            if (group.containsKey("entries-read")) {
                counters.append(' ').append(field(group, "entries-read").text());
            }
            pending.append(text(group.containsKey("pending") ? field(group, "pending") : field(group, "pel")));
            for (Reply one : elements(field(group, "consumers"))) {
                Map<String, Reply> consumer = map(one);
                value.append(" consumer ").append(text(field(consumer, "name")));
                pending.append(field(consumer, "name").text())
                        .append(text(
                                consumer.containsKey("pending") ? field(consumer, "pending") : field(consumer, "pel")));
                seen.append(' ').append(field(consumer, "seen-time").text());
                if (consumer.containsKey("active-time")) {
                    active.append(' ').append(field(consumer, "active-time").text());
                }
            }
        }
        parts.put(VALUE, value.toString());
        parts.put(COUNTERS, counters.toString());
        parts.put(PENDING, pending.toString());
        parts.put(SEEN, seen.toString());
        parts.put(ACTIVE, active.toString());
    }

    /** In milliseconds since 1970. Servers below 7.0 tell it to some milliseconds only, for which the last three digits go. */
    private String expires(byte[] key) {
        if (Known.since(version, 7, 0)) {
            return call("PEXPIRETIME", key).text();
        }
        List<Reply> replies = server.pipeline(List.of(
                CommandEncoder.bytes("MULTI"),
                CommandEncoder.bytes("TIME"),
                new byte[][] {"PTTL".getBytes(ISO_8859_1), key},
                CommandEncoder.bytes("EXEC")));
        List<Reply> results = elements(replies.getLast());
        long left = ((Reply.Int) results.getLast()).value();
        List<Reply> time = elements(results.getFirst());
        return left < 0
                ? "-1"
                : "about "
                        + (Long.parseLong(time.get(0).text()) * 1000
                                + Long.parseLong(time.get(1).text()) / 1000
                                + left);
    }

    private static List<Reply> elements(Reply reply) {
        return ((Reply.Array) reply).elements();
    }

    private static String text(Reply reply) {
        return switch (reply) {
            case Reply.Bulk(byte[] bytes) -> new String(bytes, ISO_8859_1);
            case Reply.Array(List<Reply> elements) ->
                elements.stream().map(WholeContent::text).toList().toString();
            default -> reply.text();
        };
    }

    private static List<String> texts(Reply reply) {
        return elements(reply).stream().map(WholeContent::text).toList();
    }

    /** Versions write the same number in different ways, and only 6.x shows the sign of a zero. */
    private static List<String> scores(List<String> words) {
        List<String> order = new ArrayList<>();
        for (int i = 0; i < words.size(); i += 2) {
            String word = words.get(i + 1).replace("inf", "Infinity");
            String score = Double.toString(Double.parseDouble(word) + 0.0);
            order.add(words.get(i) + " " + score);
        }
        return order;
    }
}
