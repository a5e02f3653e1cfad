package io.switchback.sync.apply;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.ReservedKeys;
import io.switchback.fleet.ServerConnection;
import io.switchback.resp.Reply;
import io.switchback.testkit.RealServer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/** All that a fleet holds, as text that is the same whatever server holds it. */
final class Contents {
    private static final int EXACT_TIMES_SINCE = 7;

    private Contents() {}

    /** Of all these servers together. */
    static Map<String, String> of(List<RealServer> servers, boolean withTimes) {
        Map<String, String> contents = new TreeMap<>();
        for (RealServer server : servers) {
            try (ServerConnection connection = ServerConnection.open(
                    new Endpoint(server.host(), server.port()), Optional.empty(), Duration.ofSeconds(10))) {
                read(connection, withTimes, contents);
            }
        }
        return contents;
    }

    /** Whether the server says when a key's time ends, to the millisecond. */
    static boolean saysWhenItEnds(RealServer server) {
        return server.binary().isValkey()
                || Integer.parseInt(server.binary().version().split("\\.", -1)[0]) >= EXACT_TIMES_SINCE;
    }

    /** Keys of another database than 0 have its number and a slash in front. */
    private static void read(ServerConnection server, boolean withTimes, Map<String, String> into) {
        for (String database : databases(server)) {
            server.demand("SELECT", database);
            read(server, database.equals("0") ? "" : database + "/", withTimes, into);
        }
    }

    private static List<String> databases(ServerConnection server) {
        return server.demand("INFO", "keyspace")
                .text()
                .lines()
                .filter(line -> line.startsWith("db"))
                .map(line -> line.substring("db".length(), line.indexOf(':')))
                .toList();
    }

    private static void read(ServerConnection server, String before, boolean withTimes, Map<String, String> into) {
        for (Reply key : elements(server.demand("KEYS", "*"))) {
            byte[] name = ((Reply.Bulk) key).bytes();
            if (!ReservedKeys.isReserved(name)) {
                String text = new String(name, UTF_8);
                String value = value(server, text);
                String time = withTimes ? server.demand("PEXPIRETIME", text).text() : "";
                if (!value.startsWith("none") && !time.equals("-2")) {
                    into.put(before + text, value + " until " + time);
                }
            }
        }
    }

    private static String value(ServerConnection server, String key) {
        String type = server.demand("TYPE", key).text();
        return type + " "
                + switch (type) {
                    case "string" -> server.demand("GET", key).text();
                    case "list" -> server.demand("LRANGE", key, "0", "-1").text();
                    case "set" ->
                        texts(server.demand("SMEMBERS", key)).stream().sorted().toList();
                    case "hash" -> pairs(texts(server.demand("HGETALL", key)));
                    case "zset" -> scores(texts(server.demand("ZRANGE", key, "0", "-1", "WITHSCORES")));
                    case "stream" -> stream(server, key);
                    default -> "";
                };
    }

    private static String stream(ServerConnection server, String key) {
        StringBuilder text =
                new StringBuilder(server.demand("XRANGE", key, "-", "+").text());
        for (Reply group : elements(server.demand("XINFO", "GROUPS", key))) {
            List<String> words = texts(group);
            String name = words.get(words.indexOf("name") + 1);
            text.append(name).append(" at ").append(words.get(words.indexOf("last-delivered-id") + 1));
            for (Reply pending : elements(server.demand("XPENDING", key, name, "-", "+", "1000"))) {
                List<String> entry = texts(pending);
                text.append(' ').append(entry.get(0)).append(entry.get(1)).append(entry.get(3));
            }
        }
        return text.toString();
    }

    private static List<String> pairs(List<String> words) {
        List<String> pairs = new ArrayList<>();
        for (int i = 0; i + 1 < words.size(); i += 2) {
            pairs.add(words.get(i) + "=" + words.get(i + 1));
        }
        return pairs.stream().sorted().toList();
    }

    /** Versions write the same number in different ways, and only 6.x shows the sign of a zero. */
    private static List<String> scores(List<String> words) {
        List<String> members = new ArrayList<>();
        for (int i = 0; i + 1 < words.size(); i += 2) {
            double score = Double.parseDouble(words.get(i + 1).replace("inf", "Infinity")) + 0.0;
            members.add(words.get(i) + "=" + score);
        }
        return members;
    }

    private static List<String> texts(Reply reply) {
        return elements(reply).stream().map(Reply::text).toList();
    }

    private static List<Reply> elements(Reply reply) {
        return ((Reply.Array) reply).elements();
    }
}
