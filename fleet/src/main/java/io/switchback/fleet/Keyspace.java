package io.switchback.fleet;

import io.switchback.resp.Reply;
import java.util.ArrayList;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Which keys a server has: how many in each database (INFO keyspace), and their names, page by page (SCAN). Without state. */
public final class Keyspace {
    /** The cursor at which a walk begins, and that tells that it is over. */
    public static final String END = "0";

    private static final Pattern DATABASE = Pattern.compile("^db(\\d{1,9}):keys=(\\d+)", Pattern.MULTILINE);

    private Keyspace() {}

    /** One page of a walk over the names of keys, in no order; a name may come twice. */
    public record Page(String next, List<byte[]> names) {
        /** Of the answer to SCAN; throws a {@link FleetException} where it is none. */
        public static Page read(ServerConnection server, Reply answer) {
            if (!(answer instanceof Reply.Array(List<Reply> parts))
                    || parts.size() != 2
                    || !(parts.getLast() instanceof Reply.Array(List<Reply> found))) {
                throw new FleetException(
                        FleetException.Code.REFUSED,
                        server.endpoint() + " does not answer SCAN as it should: " + answer.text());
            }
            List<byte[]> names = new ArrayList<>(found.size());
            for (Reply name : found) {
                if (name instanceof Reply.Bulk(byte[] bytes)) {
                    names.add(bytes);
                }
            }
            return new Page(parts.getFirst().text(), names);
        }

        /** Whether nothing comes behind it. */
        public boolean isLast() {
            return next.equals(END);
        }
    }

    /** The databases that have keys, from the first on, with how many. */
    public static SortedMap<Integer, Long> keysByDatabase(ServerConnection server) {
        SortedMap<Integer, Long> keys = new TreeMap<>();
        Matcher database = DATABASE.matcher(server.demand("INFO", "keyspace").text());
        while (database.find()) {
            keys.put(Integer.parseInt(database.group(1)), Long.parseLong(database.group(2)));
        }
        return keys;
    }

    /** The next page of a walk over the database that is selected, of about that many keys. */
    public static Page page(ServerConnection server, String cursor, int count) {
        return Page.read(server, server.demand("SCAN", cursor, "COUNT", Integer.toString(count)));
    }
}
