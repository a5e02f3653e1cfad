package io.switchback.fleet.dialect;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import io.switchback.fleet.ServerConnection;
import io.switchback.resp.Reply;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** A key's value as text that is the same on servers of all versions. */
final class CanonicalValue {
    private CanonicalValue() {}

    /** Every key of all databases (as "database/key") with its value; its time to live stands in {@code expiries}. */
    static Map<String, String> readAll(ServerConnection server, Map<String, Long> expiries) {
        Map<String, String> values = new TreeMap<>();
        for (int database = 0; database < 16; database++) {
            server.demand("SELECT", Integer.toString(database));
            for (Reply key : elements(server.demand("KEYS", "*"))) {
                String name = ((Reply.Bulk) key).text();
                String value = read(server, name);
                long pttl = ((Reply.Int) server.demand("PTTL", name)).value();
                if (pttl != 0 && pttl != -2) {
                    values.put(database + "/" + name, value);
                    expiries.put(database + "/" + name, pttl < 0 ? -1 : System.currentTimeMillis() + pttl);
                }
            }
        }
        server.demand("SELECT", "0");
        return values;
    }

    private static List<Reply> elements(Reply reply) {
        return ((Reply.Array) reply).elements();
    }

    private static String read(ServerConnection server, String key) {
        String type = server.demand("TYPE", key).text();
        return type + " "
                + switch (type) {
                    case "string" -> latin1(server.demand("GET", key));
                    case "list" -> texts(server.demand("LRANGE", key, "0", "-1"));
                    case "set" -> sorted(texts(server.demand("SMEMBERS", key)));
                    case "hash" -> sorted(pairs(texts(server.demand("HGETALL", key))));
                    case "zset" -> scores(texts(server.demand("ZRANGE", key, "0", "-1", "WITHSCORES")));
                    case "stream" -> stream(server, key);
                    default -> "";
                };
    }

    private static String stream(ServerConnection server, String key) {
        StringBuilder text =
                new StringBuilder(server.demand("XRANGE", key, "-", "+").text());
        text.append(" last ").append(field(server.demand("XINFO", "STREAM", key), "last-generated-id"));
        for (Reply group : elements(server.demand("XINFO", "GROUPS", key))) {
            String name = field(group, "name");
            text.append(" group ").append(name).append(" at ").append(field(group, "last-delivered-id"));
            for (Reply consumer : elements(server.demand("XINFO", "CONSUMERS", key, name))) {
                // The servers' own replication does not carry a consumer that has nothing pending, nor how often an
                // entry was read again from a consumer's own history.
                if (!field(consumer, "pending").equals("0")) {
                    text.append(" consumer ").append(field(consumer, "name")).append(field(consumer, "pending"));
                }
            }
            for (Reply pending : elements(server.demand("XPENDING", key, name, "-", "+", "100"))) {
                List<Reply> entry = elements(pending);
                text.append(" pending ")
                        .append(entry.get(0).text())
                        .append(entry.get(1).text());
            }
        }
        return text.toString();
    }

    private static String field(Reply map, String name) {
        List<Reply> fields = elements(map);
        for (int i = 0; i < fields.size(); i += 2) {
            if (fields.get(i).text().equals(name)) {
                return fields.get(i + 1).text();
            }
        }
        return "?";
    }

    private static String latin1(Reply reply) {
        return reply instanceof Reply.Bulk(byte[] bytes) ? new String(bytes, ISO_8859_1) : reply.text();
    }

    private static List<String> texts(Reply reply) {
        return elements(reply).stream().map(CanonicalValue::latin1).toList();
    }

    /** Versions write the same number in different ways (55.61307903220887, 55.613079032208873), and -0 only 6.x. */
    private static List<String> scores(List<String> words) {
        List<String> scores = new ArrayList<>(words);
        for (int i = 1; i < words.size(); i += 2) {
            String word = words.get(i).replace("inf", "Infinity");
            scores.set(i, Double.toString(Double.parseDouble(word) + 0.0));
        }
        return scores;
    }

    private static List<String> pairs(List<String> words) {
        List<String> pairs = new ArrayList<>();
        for (int i = 0; i < words.size(); i += 2) {
            pairs.add(words.get(i) + "=" + words.get(i + 1));
        }
        return pairs;
    }

    private static List<String> sorted(List<String> words) {
        return words.stream().sorted(Comparator.naturalOrder()).toList();
    }
}
