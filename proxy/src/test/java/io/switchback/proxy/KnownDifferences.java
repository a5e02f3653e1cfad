package io.switchback.proxy;

import io.switchback.resp.CommandRule;
import io.switchback.resp.Reply;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * Where a reply through the proxy may differ from the server's own, and why: what {@link CommandCorpusTest} compares by and
 * what docs/differences.md is written from. Errors are compared byte for byte whatever else may differ, unless Switchback's own is
 * expected.
 */
final class KnownDifferences {
    /** How two replies are compared. */
    enum Comparison {
        /** Byte for byte. */
        SAME("byte for byte"),
        /** The same elements in any order. */
        UNORDERED("as sets"),
        /** The same types and sizes; strings and numbers that are not negative may differ. */
        SHAPE("types and sizes"),
        /** The same type. */
        TYPE("the type"),
        /** Byte for byte but for the number that a client has. */
        BUT_ID("byte for byte but for the id"),
        /** Whatever the server may say at all. */
        MOMENT("only that it is the server's");

        final String words;

        Comparison(String words) {
            this.words = words;
        }
    }

    /**
     * @param commands in lower case, a subcommand as {@code client|id}
     * @param own replies of the proxy that are Switchback's own, and are not compared with what the server says
     * @param before the first major version of Redis that it does not apply to; 0 where it applies to all
     */
    record Difference(List<String> commands, Comparison comparison, Pattern own, int before, String reason) {}

    private static final Pattern NONE = Pattern.compile("(?!)");
    private static final String CLIENT = "id=[^\\r\\n]* lib-ver=[^ \\r\\n]*\n";
    private static final String SUBSCRIBED =
            "(?s).*only \\(P\\|S\\)SUBSCRIBE / \\(P\\|S\\)UNSUBSCRIBE / PING / QUIT / RESET are.*";

    static final List<Difference> ALL = List.of(
            compared(
                    Comparison.UNORDERED,
                    "the order follows a seed that each process of the server draws",
                    "smembers sunion sdiff sinter keys sort sort_ro config|get command command|info command|docs command|list"
                            + " acl|cat acl|users pubsub|channels"),
            compared(
                    Comparison.SHAPE,
                    "the reply is drawn by lot",
                    "spop srandmember hrandfield zrandmember vrandmember randomkey acl|genpass"),
            compared(
                    Comparison.TYPE,
                    "order and cuts follow a seed that each process of the server draws; cursors are Switchback's",
                    "scan sscan hscan zscan"),
            compared(
                    Comparison.SHAPE,
                    "it tells the time, or how much of it is left or has passed",
                    "time lastsave ttl pttl expiretime pexpiretime httl hpttl hexpiretime hpexpiretime object|idletime xadd xpending"
                            + " xinfo|stream xinfo|consumers"),
            compared(
                    Comparison.SHAPE,
                    "the offset counts what has run out by itself as well, which may be a moment earlier or later",
                    "role"),
            compared(
                    Comparison.TYPE,
                    "it tells of the server's process, its memory and what it has been asked so far",
                    "info memory|stats memory|malloc-stats memory|doctor slowlog|get slowlog|len commandlog|get commandlog|len"
                            + " latency|histogram latency|doctor acl|log lolwut module|list"),
            compared(
                    Comparison.SHAPE,
                    "it tells how the server has laid out its memory",
                    "memory|usage dump vinfo vlinks vemb vsim"),
            compared(
                    Comparison.MOMENT,
                    "it depends on whether the last one is still under way",
                    "save bgsave bgrewriteaof"),
            compared(Comparison.BUT_ID, "the id is the one that Switchback has given the client", "hello"),
            own(":[1-9][0-9]*\r\n", "the id is the one that Switchback has given the client", "client|id"),
            own(
                    "(\\$|=)[0-9]+\r\n(txt:)?(" + CLIENT + ")*\r\n",
                    "Switchback's clients, with the fields that Switchback knows",
                    "client|info client|list"),
            own(
                    "-ERR syntax error\r\n|:[0-9]\r\n|-ERR client-id should be greater than 0\r\n",
                    "filters are those of Redis 7.0 and MAXAGE, an id is said to be none as Valkey does; a user whom the server does"
                            + " not know is nobody's",
                    "client|list client|kill"),
            own(
                    "(?s)\\+OK\r\n.*",
                    "the lines are of the moment, and tell of Switchback's connections; a client that monitors may use PING, RESET and"
                            + " QUIT only",
                    "monitor"),
            old(
                    "-ERR wrong number of arguments for 'client\\|[a-z-]+' command\r\n|\\+OK\r\n|:0\r\n|-ERR [^\r]*\r\n",
                    "CLIENT is answered as Redis 7.0 does",
                    "client|id client|info client|getname client|setname client|setinfo client|no-evict client|reply client|kill"
                            + " client|list"),
            old("-ERR value is [^\r]*\r\n", "SELECT is answered as Redis 7.0 does", "select"),
            old(
                    "(?s)-ERR Protocol version is not [^\r]*\r\n|[*%].*|-ERR Syntax error in HELLO [^\r]*\r\n",
                    "HELLO is answered as Redis 7.0 does", "hello"),
            old(
                    SUBSCRIBED,
                    "what a client of RESP2 that is subscribed may not do is said as Redis 7.0 does",
                    "subscribe psubscribe"));

    private static final Pattern ID = Pattern.compile("(\\$2\r\nid\r\n:)[0-9]+");

    private KnownDifferences() {}

    private static Difference compared(Comparison comparison, String reason, String commands) {
        return new Difference(List.of(commands.split(" ")), comparison, NONE, 0, reason);
    }

    private static Difference own(String replies, String reason, String commands) {
        return new Difference(List.of(commands.split(" ")), Comparison.SAME, Pattern.compile(replies), 0, reason);
    }

    private static Difference old(String replies, String reason, String commands) {
        return new Difference(List.of(commands.split(" ")), Comparison.SAME, Pattern.compile(replies), 7, reason);
    }

    /** Session commands whose answer is Switchback's own, so that it cannot stand among those of EXEC. */
    private static final Set<String> NOT_IN_TRANSACTION =
            Set.of(("auth hello monitor debug|* subscribe unsubscribe psubscribe punsubscribe ssubscribe sunsubscribe"
                            + " client|caching client|capa client|getname client|id client|import-source client|info client|kill client|list"
                            + " client|no-evict client|no-touch client|pause client|reply client|setinfo client|setname client|tracking"
                            + " client|unblock client|unpause")
                    .split(" "));

    /** What the proxy says of this rule's command within MULTI and then of EXEC, where it lets no such command in; else empty. */
    static Optional<String> refusalInTransaction(CommandRule rule) {
        return NOT_IN_TRANSACTION.contains(rule.name())
                ? Optional.of(
                        "-ERR switchback: " + upper(rule.name())
                                + " is not supported inside MULTI\r\n-EXECABORT Transaction discarded because of previous errors.\r\n")
                : Optional.empty();
    }

    /** Whether that is what the proxy may answer where a server of that major version answers so. */
    static boolean allows(String command, int version, Exchanged proxied, Exchanged direct) {
        return proxied.bytes().equals(direct.bytes())
                || ALL.stream()
                        .filter(difference -> difference.commands().contains(command))
                        .filter(difference -> difference.before() == 0 || version < difference.before())
                        .anyMatch(difference ->
                                difference.own().matcher(proxied.bytes()).matches()
                                        || alike(difference.comparison(), proxied, direct));
    }

    private static boolean alike(Comparison comparison, Exchanged proxied, Exchanged direct) {
        boolean both = proxied.bytes().charAt(0) == direct.bytes().charAt(0)
                && !proxied.reply().isError()
                && !direct.reply().isError();
        return switch (comparison) {
            case SAME -> false;
            case UNORDERED -> both && sorted(proxied.reply()).equals(sorted(direct.reply()));
            case SHAPE -> both && sameShape(proxied.reply(), direct.reply());
            case TYPE -> both;
            case BUT_ID -> withoutId(proxied).equals(withoutId(direct));
            case MOMENT -> !proxied.bytes().contains("switchback");
        };
    }

    private static String withoutId(Exchanged one) {
        return ID.matcher(one.bytes()).replaceAll("$1?");
    }

    static String page() {
        StringBuilder page = new StringBuilder("""
                # Differences

                `CommandCorpusTest` sends every command of every server, with arguments made of what the server says of them, directly and
                through the proxy. The replies are the same bytes, in RESP2 and RESP3, but for what is here; errors are always compared byte for
                byte, unless one of Switchback's own is named. This page is written out of the list that the test compares by, and a test
                compares the two. Commands that are refused, and why, are in [commands.md](commands.md): the same test sees each of them refused
                by that reason, and not sent.

                To a malformed frame behind CLIENT REPLY SKIP or OFF the servers say nothing, and leave the connection open without reading on.
                Switchback says what is wrong and closes. Of a command that a subscribed client of RESP2 may not use, the servers say first whether it
                has too few words, Switchback that it may not be used. A zero byte within a line (a command the way a person types it) ends it for
                Switchback; servers up to Redis 7.0 at least see no end of such a line. Where CR and LF should end a line and something else does, servers
                before Valkey 9 skip it; Switchback refuses it as Valkey 9 does, since many clients may share the connection that it would come over.

                The push message that Valkey sends behind the reply to DEBUG PROTOCOL PUSH is not passed on.

                Within MULTI, what the client's session answers is refused, and the transaction with it, since the answer cannot stand among those of
                EXEC: $NOT_IN_TRANSACTION. SCAN, HSCAN, SSCAN and ZSCAN are passed on there from the beginning only (cursor 0); the cursor in the
                reply is the server's, and used outside it begins again.

                | commands | servers | what is compared | why |
                | --- | --- | --- | --- |
                """.replace(
                        "$NOT_IN_TRANSACTION",
                        String.join(
                                ", ",
                                NOT_IN_TRANSACTION.stream()
                                        .sorted()
                                        .map(KnownDifferences::upper)
                                        .toList())));
        for (Difference difference : ALL) {
            boolean isOwn = difference.own() != NONE;
            page.append("| ")
                    .append(String.join(
                            ", ",
                            difference.commands().stream()
                                    .map(KnownDifferences::upper)
                                    .toList()))
                    .append(" | ")
                    .append(difference.before() == 0 ? "all" : "Redis before " + difference.before() + ".0")
                    .append(" | ")
                    .append(isOwn ? "what Switchback says, with itself" : difference.comparison().words)
                    .append(" | ")
                    .append(difference.reason())
                    .append(" |\n");
        }
        return page.toString();
    }

    /** A reply, and the bytes that it was read from, each a character. */
    record Exchanged(Reply reply, String bytes) {}

    /** The same text for the same elements in any order, at any depth. */
    private static String sorted(Reply reply) {
        return reply instanceof Reply.Array(List<Reply> elements)
                ? elements.stream()
                        .map(KnownDifferences::sorted)
                        .sorted()
                        .toList()
                        .toString()
                : reply.toString();
    }

    static boolean sameShape(Reply one, Reply other) {
        return switch (one) {
            case Reply.Int(long a) -> other instanceof Reply.Int(long b) && (a == b || (a >= 0 && b >= 0));
            case Reply.Bulk bulk -> other instanceof Reply.Bulk;
            case Reply.Array(List<Reply> elements) -> {
                List<Reply> others = ServerManual.elements(other);
                boolean same = other instanceof Reply.Array && elements.size() == others.size();
                for (int i = 0; same && i < elements.size(); i++) {
                    same = sameShape(elements.get(i), others.get(i));
                }
                yield same;
            }
            case Reply.Simple simple -> simple.equals(other);
            case Reply.Failure failure -> failure.equals(other);
            case Reply.Nil nil -> nil.equals(other);
        };
    }

    static String upper(String command) {
        return command.replace("|*", "").replace('|', ' ').toUpperCase(Locale.ROOT);
    }
}
