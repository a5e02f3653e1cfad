package io.switchback.resp;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.US_ASCII;

import io.netty.buffer.ByteBuf;
import io.switchback.resp.CommandRule.Placement;
import io.switchback.resp.CommandRule.Treatment;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Every command of the servers that are supported, and how a proxy treats it; the source of docs/commands.md.
 *
 * <p>Which commands change nothing is taken from the servers' own flags. A command that is not here is refused: nobody
 * knows what it would leave behind on a connection that others use too. Immutable; any thread.
 */
public final class CommandTable {
    private static final int SLOTS = 2048;
    private static final int NAME_BYTES_MAX = 64;
    private static final Pattern BLANKS = Pattern.compile("\\s+");

    private static final String READING = """
            bitcount bitfield_ro bitpos digest dump echo evalsha_ro exists expiretime fcall_ro geodist geohash geopos
            georadius_ro georadiusbymember_ro geosearch get getbit getrange hexists hexpiretime hget hgetall hkeys hlen hmget
            hpexpiretime hpttl hrandfield hstrlen httl hvals info lastsave lcs lindex llen lolwut lpos lrange memory mget object
            pexpiretime pfcount ping pttl pubsub role scard sdiff sinter sintercard sismember smembers smismember sort_ro
            srandmember stralgo strlen substr sunion time touch ttl type vcard vdim vemb vgetattr vinfo vismember vlinks
            vrandmember vrange vsim xinfo xlen xpending xrange xrevrange zcard zcount zdiff zinter zintercard zlexcount zmscore
            zrandmember zrange zrangebylex zrangebyscore zrank zrevrange zrevrangebylex zrevrangebyscore zrevrank zscore zunion
            """;

    private static final String WRITING = """
            acl append bgrewriteaof bgsave bitfield bitop commandlog config copy decr decrby del delex delifeq evalsha
            expire expireat fcall flushall flushdb geoadd georadius georadiusbymember geosearchstore getdel getex
            getset hdel hexpire hexpireat hgetdel hgetex hincrby hincrbyfloat hmset hpersist hpexpire hpexpireat hset hsetex
            hsetnx incr incrby incrbyfloat latency linsert lmove lmpop lpop lpush lpushx lrem lset ltrim migrate module move mset
            msetex msetnx persist pexpire pexpireat pfadd pfdebug pfmerge pfselftest psetex publish rename renamenx restore rpop
            rpoplpush rpush rpushx sadd save sdiffstore set setbit setex setnx setrange sinterstore slowlog smove sort spop
            spublish srem sunionstore swapdb unlink vadd vrem vsetattr xack xackdel xadd xautoclaim xcfgset xclaim xdel xdelex
            xgroup xsetid xtrim zadd zdiffstore zincrby zinterstore zmpop zpopmax zpopmin zrangestore zrem zremrangebylex
            zremrangebyrank zremrangebyscore zunionstore
            """;

    private static final String BLOCKS =
            "on a connection of the session's own while it waits; a switch does not end the waiting";
    private static final String SCRIPTS = "the script is known to the other fleet when a switch leads there";
    private static final String TRACKS =
            "over a connection of the session's own, for REDIRECT to a client of the same node beside another one; at a switch the client, or to which it redirects, is"
                    + " told to forget everything";
    private static final String SUBSCRIBES =
            "over a connection of the session's own; a switch takes subscriptions along";
    private static final String REPLICATES = "it would change or join the fleet's replication behind Switchback's back";
    private static final String ATTACK = "an HTTP request, not a command; the servers themselves close the connection";
    private static final String CLUSTER = "this instance has cluster support disabled";

    /** What in a cluster does not go by keys, and not to one node. */
    private static final Map<String, Placement> PLACEMENTS = new TreeMap<>();

    static {
        place(Placement.SPLIT, "del exists mget mset touch unlink");
        place(Placement.EVERYWHERE, """
                acl|deluser acl|load acl|save acl|setuser client|caching client|pause client|tracking client|unpause config|resetstat config|rewrite config|set
                dbsize flushall flushdb function|delete function|flush function|kill function|load function|restore keys monitor pubsub|channels pubsub|numpat pubsub|numsub
                pubsub|shardchannels pubsub|shardnumsub randomkey scan script|exists script|flush script|kill script|load wait waitaof
                """);
        place(Placement.SWITCHBACK, """
                asking cluster|count-failure-reports cluster|info cluster|keyslot cluster|links cluster|myid cluster|myshardid cluster|nodes
                cluster|replicas cluster|shards cluster|slaves cluster|slots readonly readwrite
                """);
        place(Placement.KEYS, "cluster|countkeysinslot cluster|getkeysinslot");
        place(Placement.REFUSED, """
                client|import-source client|no-touch cluster|getslotmigrations cluster|slot-stats
                """);
        place(Placement.BY_SUBCOMMAND, "acl config function pubsub");
    }

    private static final SortedMap<String, CommandRule> RULES = new TreeMap<>();
    private static final byte[][] NAMES = new byte[SLOTS][];
    private static final @Nullable CommandRule[] SLOT_RULES = new CommandRule[SLOTS];

    static {
        add(Treatment.PLAIN, true, "", READING);
        add(Treatment.PLAIN, false, "", WRITING);
        add(Treatment.SCRIPT, true, SCRIPTS, "eval_ro");
        add(Treatment.SCRIPT, false, SCRIPTS, "eval script|load script|flush");
        add(Treatment.BLOCKING, true, BLOCKS, "xread wait waitaof");
        add(
                Treatment.BLOCKING,
                false,
                BLOCKS,
                "blmove blmpop blpop brpop brpoplpush bzmpop bzpopmax bzpopmin xreadgroup");
        add(Treatment.FILTERED, true, "without the keys that are Switchback's own", "keys randomkey dbsize");
        add(
                Treatment.FILTERED,
                true,
                "cursors carry the route's epoch; one of another epoch starts again at 0",
                "scan hscan sscan zscan");
        add(Treatment.SESSION, false, "the server's own answer", "auth select");
        add(Treatment.SESSION, false, "over a connection of that protocol", "hello");
        add(Treatment.SESSION, false, "on a connection of the session's own", "multi exec discard watch unwatch");
        add(Treatment.SESSION, false, "answered by Switchback", "quit reset");

        add(
                Treatment.SESSION,
                false,
                SUBSCRIBES,
                "subscribe unsubscribe psubscribe punsubscribe ssubscribe sunsubscribe");
        add(
                Treatment.SESSION,
                false,
                "over a connection of the session's own; the addresses are those of Switchback's connections; a switch leads it to the"
                        + " other fleet's commands, of which the first may be missed; a client is closed by a line of more than 64 MiB",
                "monitor");
        add(Treatment.REFUSED, false, REPLICATES, "sync psync replconf replicaof slaveof failover syncslots");
        add(Treatment.REFUSED, false, "it would end the server behind Switchback's back", "shutdown");
        add(Treatment.REFUSED, false, CLUSTER, "asking readonly readwrite restore-asking clusterscan");
        add(Treatment.REFUSED, false, ATTACK, "post host:");

        container("script", "exists help show");
        add(Treatment.BY_SUBCOMMAND, false, "", "function");
        add(Treatment.PLAIN, false, "", "function|*");
        add(
                Treatment.SESSION,
                false,
                "over another connection than what it ends; who shares the connection of what it ends waits until then, and is not told BUSY",
                "script|kill function|kill");
        add(Treatment.REFUSED, false, "it changes what its connection is", "script|debug");
        add(Treatment.BY_SUBCOMMAND, false, "", "debug");
        add(
                Treatment.SESSION,
                false,
                "where the server allows it, over a connection of the session's own that is closed afterwards",
                "debug|*");
        add(
                Treatment.REFUSED,
                false,
                "it would end the server behind Switchback's back",
                "debug|segfault debug|panic debug|assert debug|oom debug|restart debug|crash-and-recover");
        add(
                Treatment.REFUSED,
                false,
                "it changes data, or the stream of changes, in a way of which the other fleet does not hear",
                "debug|change-repl-id debug|replicate debug|populate debug|reload debug|loadaof debug|flushall");
        container("command", "count docs getkeys getkeysandflags help info list");
        container(
                "cluster",
                "count-failure-reports countkeysinslot getkeysinslot getslotmigrations help info keyslot links myid myshardid nodes"
                        + " replicas shards slaves slot-stats slots");
        add(Treatment.REFUSED, false, "it would change a cluster behind Switchback's back", "cluster|*");
        container("client", "help");
        add(
                Treatment.SESSION,
                false,
                "answered by Switchback",
                "client|getname client|id client|info client|setinfo client|setname client|reply");
        add(Treatment.SESSION, false, "of the clients of this node's proxy", "client|list client|kill client|unblock");
        add(Treatment.SESSION, false, "answered by Switchback, without effect", "client|no-evict");
        add(
                Treatment.SESSION,
                false,
                "the server's own answer, without effect: redirect is about replicas, to which no client is connected",
                "client|capa");
        add(
                Treatment.SESSION,
                false,
                "over a connection of the session's own; a switch takes it along where the other fleet knows it",
                "client|no-touch client|import-source");
        add(Treatment.SESSION, false, TRACKS, "client|tracking client|caching");
        add(
                Treatment.SESSION,
                false,
                "with the id that Switchback has for a client",
                "client|getredir client|trackinginfo");
        add(
                Treatment.SESSION,
                false,
                "over a connection of the session's own; of all clients of the server, other nodes' and Switchback's too: a switch"
                        + " within it waits, and is given up at its limit",
                "client|pause client|unpause");
        add(Treatment.BY_SUBCOMMAND, false, "", "sentinel");
        add(
                Treatment.SESSION,
                false,
                "answered by Switchback: the node is the primary, and one of the sentinels that watch it",
                "sentinel|get-master-addr-by-name sentinel|get-primary-addr-by-name sentinel|master sentinel|primary sentinel|masters"
                        + " sentinel|primaries sentinel|replicas sentinel|slaves sentinel|sentinels sentinel|myid sentinel|ckquorum");
        buildSlots();
    }

    private CommandTable() {}

    private static void add(Treatment treatment, boolean repeatable, String note, String names) {
        for (String name : words(names)) {
            CommandRule rule = new CommandRule(
                    name, treatment, repeatable, note, KeyPlaces.of(name), placementOf(name, treatment));
            if (RULES.put(name, rule) != null) {
                throw new IllegalStateException("two rules for the command " + name);
            }
        }
    }

    private static void place(Placement placement, String names) {
        words(names).forEach(name -> PLACEMENTS.put(name, placement));
    }

    private static Placement placementOf(String name, Treatment treatment) {
        Placement named = PLACEMENTS.get(name);
        if (named != null) {
            return named;
        }
        if (treatment == Treatment.BY_SUBCOMMAND) {
            return Placement.BY_SUBCOMMAND;
        }
        return KeyPlaces.of(name) instanceof KeyPlaces.None ? Placement.ONE : Placement.KEYS;
    }

    /** Where a whole command that falls under this rule goes in a cluster, its subcommand looked at. */
    public static Placement placement(CommandRule rule, byte[][] command) {
        Placement placement = command.length < 2
                ? null
                : PLACEMENTS.get(container(rule) + "|" + new String(command[1], ISO_8859_1).toLowerCase(Locale.ROOT));
        if (placement != null) {
            return placement;
        }
        return rule.placement() == Placement.BY_SUBCOMMAND ? Placement.ONE : rule.placement();
    }

    /** The command itself, of which the rule may be for a subcommand. */
    private static String container(CommandRule rule) {
        int bar = rule.name().indexOf('|');
        return bar < 0 ? rule.name() : rule.name().substring(0, bar);
    }

    /** The subcommands of a container that in a cluster go to every shard, though its others do not. */
    public static List<String> subcommandsOfEveryShard(String container) {
        return PLACEMENTS.entrySet().stream()
                .filter(entry -> entry.getValue() == Placement.EVERYWHERE)
                .map(Map.Entry::getKey)
                .filter(name -> name.startsWith(container + "|"))
                .map(name -> name.substring(container.length() + 1).toUpperCase(Locale.ROOT))
                .toList();
    }

    private static List<String> words(String text) {
        return BLANKS.splitAsStream(text.strip()).toList();
    }

    private static void container(String name, String plainSubcommands) {
        add(Treatment.BY_SUBCOMMAND, false, "", name);
        for (String subcommand : words(plainSubcommands)) {
            add(Treatment.PLAIN, false, "", name + "|" + subcommand);
        }
    }

    private static void buildSlots() {
        for (CommandRule rule : RULES.values()) {
            if (rule.name().indexOf('|') >= 0) {
                continue; // no command has such a name on the wire
            }
            byte[] name = rule.name().getBytes(US_ASCII);
            int slot = hash(name) & (SLOTS - 1);
            while (SLOT_RULES[slot] != null) {
                slot = (slot + 1) & (SLOTS - 1);
            }
            NAMES[slot] = name;
            SLOT_RULES[slot] = rule;
        }
    }

    private static int hash(byte[] name) {
        int hash = 0;
        for (byte b : name) {
            hash = hash * 31 + (b | 0x20);
        }
        return spread(hash);
    }

    private static int spread(int hash) {
        return hash ^ (hash >>> 11);
    }

    /** The rule of the command whose name stands at {@code index}, in any case; null where there is none. */
    public static @Nullable CommandRule find(ByteBuf in, int index, int length) {
        if (length > NAME_BYTES_MAX) {
            return null;
        }
        int hash = 0;
        for (int i = 0; i < length; i++) {
            hash = hash * 31 + (in.getByte(index + i) | 0x20);
        }
        int slot = spread(hash) & (SLOTS - 1);
        while (true) {
            CommandRule rule = SLOT_RULES[slot];
            if (rule == null || isNamed(in, index, length, NAMES[slot])) {
                return rule;
            }
            slot = (slot + 1) & (SLOTS - 1);
        }
    }

    private static boolean isNamed(ByteBuf in, int index, int length, byte[] name) {
        if (name.length != length) {
            return false;
        }
        for (int i = 0; i < length; i++) {
            byte b = in.getByte(index + i);
            if ((b >= 'A' && b <= 'Z' ? b + 32 : b) != name[i]) {
                return false;
            }
        }
        return true;
    }

    /** The rule of the command of that name, in any case; null where there is none. */
    public static @Nullable CommandRule find(String name) {
        return RULES.get(name.toLowerCase(Locale.ROOT));
    }

    /** The rule that a whole command falls under, its subcommand looked at; null where there is none. */
    public static @Nullable CommandRule find(byte[][] command) {
        String name = new String(command[0], ISO_8859_1);
        CommandRule rule = name.indexOf('|') >= 0 ? null : find(name);
        if (rule == null || rule.treatment() != Treatment.BY_SUBCOMMAND) {
            return rule;
        }
        if (command.length == 1) {
            // COMMAND alone is a command; the others are answered by the server's own error.
            return new CommandRule(rule.name(), Treatment.PLAIN, false, "", KeyPlaces.NONE, Placement.ONE);
        }
        CommandRule exact = find(name + "|" + new String(command[1], ISO_8859_1));
        return exact != null ? exact : find(name + "|*");
    }

    /** All rules by name. */
    public static Collection<CommandRule> rules() {
        return Collections.unmodifiableCollection(RULES.values());
    }
}
