package io.switchback.fleet.dialect;

import static io.switchback.fleet.dialect.Option.flag;
import static io.switchback.fleet.dialect.Option.with;
import static io.switchback.fleet.dialect.Rule.control;
import static io.switchback.fleet.dialect.Rule.counted;
import static io.switchback.fleet.dialect.Rule.effects;
import static io.switchback.fleet.dialect.Rule.fields;
import static io.switchback.fleet.dialect.Rule.head;
import static io.switchback.fleet.dialect.Rule.plain;
import static io.switchback.fleet.dialect.Rule.tail;

import io.switchback.fleet.ServerVersion;
import io.switchback.fleet.dialect.Option.Missing;
import io.switchback.fleet.dialect.Rule.Form;
import java.util.ArrayList;
import java.util.List;

/**
 * The one table of what Switchback knows of the servers' write commands: Redis 6.0 to 8.4, Valkey 7.2 to 9.1. What is not
 * here does not pass to another server.
 *
 * <p>Which effects come down a stream was recorded on redis 6.0.16, 7.0.15, 8.0.2, valkey 8.1.1 and 9.1.2, and is recorded
 * again by the tests; versions in between are from the servers' own command documentation. {@code docs/dialects.md} shows this
 * table and is checked against it.
 */
final class CommandRules {
    private static final Since VALKEY_9_0_ONLY = new Since(Since.NEVER, 900);
    private static final Since HASH_WITH_EXPIRY_COMMANDS = new Since(800, 900);

    /** The newest servers whose commands are all here. An option that is not here may be one of a newer server's. */
    private static final Since COVERED_UNTIL = new Since(805, 902);

    /** Every rule, by kind of data. */
    static final List<Rule> ALL = all();

    private CommandRules() {}

    /** Whether every command and option of that server is in the table. */
    static boolean covers(ServerVersion version) {
        return !COVERED_UNTIL.knows(version);
    }

    private static List<Rule> all() {
        List<Rule> rules = new ArrayList<>();
        protocol(rules);
        strings(rules);
        keys(rules);
        lists(rules);
        setsAndHashes(rules);
        sortedSets(rules);
        streams(rules);
        scriptsAndMessages(rules);
        return List.copyOf(rules);
    }

    private static void protocol(List<Rule> rules) {
        for (String name : List.of("PING", "REPLCONF", "SELECT", "MULTI", "EXEC")) {
            rules.add(control(name));
        }
    }

    private static void strings(List<Rule> rules) {
        rules.add(tail(
                        "SET",
                        3,
                        flag("NX"),
                        flag("XX"),
                        flag("KEEPTTL"),
                        with("EX", 1, Since.NOWHERE, Missing.CARRIED),
                        with("PX", 1, Since.NOWHERE, Missing.CARRIED),
                        with("EXAT", 1, Since.REDIS_6_2, Missing.CARRIED),
                        with("PXAT", 1, Since.REDIS_6_2, Missing.CARRIED),
                        flag("GET", Since.REDIS_6_2, Missing.DROPPED),
                        with("IFEQ", 1, new Since(804, 801), Missing.DROPPED),
                        with("IFNE", 1, new Since(804, Since.NEVER), Missing.DROPPED),
                        with("IFDEQ", 1, new Since(804, Since.NEVER), Missing.DROPPED),
                        with("IFDNE", 1, new Since(804, Since.NEVER), Missing.DROPPED))
                .rewritten(Rewriting.SET));
        rules.add(plain("SETEX").rewritten(Rewriting.SETEX));
        rules.add(plain("PSETEX").rewritten(Rewriting.SETEX));
        rules.add(counted(
                        "MSETEX",
                        1,
                        2,
                        flag("NX", Since.ALWAYS, Missing.DROPPED),
                        flag("XX", Since.ALWAYS, Missing.DROPPED),
                        flag("KEEPTTL"),
                        with("EX", 1, Since.NOWHERE, Missing.CARRIED),
                        with("PX", 1, Since.NOWHERE, Missing.CARRIED),
                        with("EXAT", 1, Since.ALWAYS, Missing.CARRIED),
                        with("PXAT", 1, Since.ALWAYS, Missing.CARRIED))
                .since(new Since(804, 901))
                .rewritten(Rewriting.MSETEX));
        for (String name : List.of(
                "SETNX",
                "MSET",
                "MSETNX",
                "GETSET",
                "APPEND",
                "SETRANGE",
                "SETBIT",
                "INCR",
                "DECR",
                "INCRBY",
                "DECRBY",
                "BITFIELD")) {
            rules.add(plain(name));
        }
        rules.add(plain("DELIFEQ").since(VALKEY_9_0_ONLY).rewritten(Rewriting.DEL));
        rules.add(plain("DELEX").since(new Since(804, Since.NEVER)).rewritten(Rewriting.DEL));
        for (String name : List.of("GETDEL", "GETEX", "INCRBYFLOAT")) {
            rules.add(effects(name));
        }
        for (String operation : List.of("AND", "OR", "XOR", "NOT")) {
            rules.add(plain("BITOP " + operation));
        }
        for (String operation : List.of("DIFF", "DIFF1", "ANDOR", "ONE")) {
            rules.add(plain("BITOP " + operation).since(Since.REDIS_8_2_ONLY));
        }
        rules.add(plain("PFADD"));
        rules.add(plain("PFMERGE"));
        rules.add(plain("PFCOUNT"));
        rules.add(plain("PFDEBUG"));
    }

    private static void keys(List<Rule> rules) {
        for (String name : List.of("DEL", "UNLINK", "RENAME", "RENAMENX", "MOVE", "SWAPDB", "PERSIST")) {
            rules.add(plain(name));
        }
        for (String name : List.of("EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT")) {
            Rule rule = tail(
                    name,
                    3,
                    flag("NX", Since.REDIS_7_0, Missing.DROPPED),
                    flag("XX", Since.REDIS_7_0, Missing.DROPPED),
                    flag("GT", Since.REDIS_7_0, Missing.DROPPED),
                    flag("LT", Since.REDIS_7_0, Missing.DROPPED));
            rules.add(name.endsWith("AT") ? rule : rule.rewritten(Rewriting.EXPIRE));
        }
        rules.add(tail(
                        "COPY",
                        3,
                        with("DB", 1, Since.ALWAYS, Missing.CARRIED),
                        flag("REPLACE", Since.ALWAYS, Missing.CARRIED))
                .since(Since.REDIS_6_2)
                .rewritten(Rewriting.COPY));
        for (String name : List.of("RESTORE", "RESTORE-ASKING")) {
            rules.add(tail(name, 4, flag("REPLACE"), flag("ABSTTL"), with("IDLETIME", 1), with("FREQ", 1))
                    .rewritten(Rewriting.RESTORE));
        }
        rules.add(effects("MIGRATE"));
        rules.add(tail(
                "SORT",
                2,
                with("BY", 1),
                with("LIMIT", 2),
                with("GET", 1),
                flag("ASC"),
                flag("DESC"),
                flag("ALPHA"),
                with("STORE", 1)));
        for (String name : List.of("FLUSHALL", "FLUSHDB")) {
            rules.add(tail(name, 1, flag("ASYNC"), flag("SYNC", Since.REDIS_6_2, Missing.DROPPED)));
        }
    }

    private static void lists(List<Rule> rules) {
        for (String name :
                List.of("LPUSH", "RPUSH", "LPUSHX", "RPUSHX", "LREM", "LSET", "LTRIM", "LINSERT", "RPOPLPUSH")) {
            rules.add(plain(name));
        }
        rules.add(plain("LPOP").rewritten(Rewriting.POP_COUNT));
        rules.add(plain("RPOP").rewritten(Rewriting.POP_COUNT));
        rules.add(plain("LMOVE").since(Since.REDIS_6_2).rewritten(Rewriting.LMOVE));
        for (String name : List.of("BLPOP", "BRPOP", "BRPOPLPUSH", "BLMOVE", "LMPOP", "BLMPOP")) {
            rules.add(effects(name));
        }
    }

    private static void setsAndHashes(List<Rule> rules) {
        for (String name : List.of(
                "SADD",
                "SREM",
                "SMOVE",
                "SINTERSTORE",
                "SUNIONSTORE",
                "SDIFFSTORE",
                "HSET",
                "HMSET",
                "HSETNX",
                "HDEL",
                "HINCRBY")) {
            rules.add(plain(name));
        }
        rules.add(effects("SPOP"));
        rules.add(effects("HINCRBYFLOAT"));
        for (String name : List.of("HEXPIRE", "HPEXPIRE", "HEXPIREAT", "HPEXPIREAT")) {
            rules.add(fields(name, 3, flag("NX"), flag("XX"), flag("GT"), flag("LT"))
                    .since(Since.FIELD_EXPIRY));
        }
        rules.add(fields("HPERSIST", 2).since(Since.FIELD_EXPIRY));
        rules.add(fields(
                        "HSETEX",
                        2,
                        flag("FNX"),
                        flag("FXX"),
                        flag("NX", new Since(Since.NEVER, 901), Missing.DROPPED),
                        flag("XX", new Since(Since.NEVER, 901), Missing.DROPPED),
                        flag("KEEPTTL", Since.ALWAYS, Missing.CARRIED),
                        with("EX", 1, Since.FIELD_EXPIRY, Missing.REFUSED),
                        with("PX", 1, Since.FIELD_EXPIRY, Missing.REFUSED),
                        with("EXAT", 1, Since.FIELD_EXPIRY, Missing.REFUSED),
                        with("PXAT", 1, Since.FIELD_EXPIRY, Missing.REFUSED))
                .since(HASH_WITH_EXPIRY_COMMANDS)
                .rewritten(Rewriting.HSETEX));
        rules.add(fields("HGETDEL", 2).since(new Since(800, 901)).rewritten(Rewriting.HDEL));
        rules.add(fields(
                        "HGETEX",
                        2,
                        with("EX", 1, Since.FIELD_EXPIRY, Missing.REFUSED),
                        with("PX", 1, Since.FIELD_EXPIRY, Missing.REFUSED),
                        with("EXAT", 1, Since.FIELD_EXPIRY, Missing.REFUSED),
                        with("PXAT", 1, Since.FIELD_EXPIRY, Missing.REFUSED),
                        flag("PERSIST", Since.FIELD_EXPIRY, Missing.REFUSED))
                .carriedBy(Rule.Carrier.EFFECTS));
    }

    private static void sortedSets(List<Rule> rules) {
        for (String name : List.of(
                "ZREM", "ZINCRBY", "ZPOPMIN", "ZPOPMAX", "ZREMRANGEBYSCORE", "ZREMRANGEBYRANK", "ZREMRANGEBYLEX")) {
            rules.add(plain(name));
        }
        rules.add(head(
                        "ZADD",
                        2,
                        flag("NX"),
                        flag("XX"),
                        flag("CH"),
                        flag("INCR"),
                        flag("GT", Since.REDIS_6_2, Missing.CARRIED),
                        flag("LT", Since.REDIS_6_2, Missing.CARRIED))
                .rewritten(Rewriting.ZADD));
        for (String name : List.of("ZUNIONSTORE", "ZINTERSTORE")) {
            rules.add(counted(name, 2, 1, with("WEIGHTS", Option.ONE_PER_KEY), with("AGGREGATE", Option.AGGREGATION)));
        }
        rules.add(counted("ZDIFFSTORE", 2, 1).since(Since.REDIS_6_2).rewritten(Rewriting.ZDIFFSTORE));
        rules.add(tail("ZRANGESTORE", 5, flag("BYSCORE"), flag("BYLEX"), flag("REV"), with("LIMIT", 2))
                .since(Since.REDIS_6_2)
                .rewritten(Rewriting.ZRANGESTORE));
        for (String name : List.of("BZPOPMIN", "BZPOPMAX", "ZMPOP", "BZMPOP", "GEOADD")) {
            rules.add(effects(name));
        }
        rules.add(tail("GEORADIUS", 6, geoOptions()).meaning(Since.REDIS_6_2).rewritten(Rewriting.GEORADIUS));
        rules.add(tail("GEORADIUSBYMEMBER", 5, geoOptions())
                .meaning(Since.REDIS_6_2)
                .rewritten(Rewriting.GEORADIUS));
        rules.add(tail(
                        "GEOSEARCHSTORE",
                        3,
                        with("FROMMEMBER", 1),
                        with("FROMLONLAT", 2),
                        with("BYRADIUS", 2),
                        with("BYBOX", 3, Since.REDIS_6_2, Missing.REFUSED),
                        with("BYPOLYGON", Option.COORDINATES, VALKEY_9_0_ONLY, Missing.REFUSED),
                        flag("ASC"),
                        flag("DESC"),
                        with("COUNT", 1),
                        flag("ANY", Since.REDIS_6_2, Missing.REFUSED),
                        flag("STOREDIST"))
                .since(Since.REDIS_6_2)
                .rewritten(Rewriting.GEOSEARCHSTORE));
        for (String name : List.of("VADD", "VREM", "VSETATTR")) {
            rules.add(plain(name).since(Since.REDIS_8_0_ONLY));
        }
    }

    private static Option[] geoOptions() {
        return new Option[] {
            flag("WITHCOORD"),
            flag("WITHDIST"),
            flag("WITHHASH"),
            with("COUNT", 1),
            flag("ANY", Since.REDIS_6_2, Missing.REFUSED),
            flag("ASC"),
            flag("DESC"),
            with("STORE", 1),
            with("STOREDIST", 1)
        };
    }

    private static void streams(List<Rule> rules) {
        rules.add(head(
                        "XADD",
                        2,
                        flag("NOMKSTREAM", Since.REDIS_6_2, Missing.DROPPED),
                        with("MAXLEN", Option.TRIM),
                        with("MINID", Option.TRIM, Since.REDIS_6_2, Missing.CARRIED),
                        with("LIMIT", 1, Since.NOWHERE, Missing.DROPPED),
                        flag("KEEPREF", Since.REDIS_8_2_ONLY, Missing.DROPPED),
                        flag("DELREF", Since.REDIS_8_2_ONLY, Missing.REFUSED),
                        flag("ACKED", Since.REDIS_8_2_ONLY, Missing.REFUSED))
                .rewritten(Rewriting.XADD));
        rules.add(tail(
                        "XTRIM",
                        2,
                        with("MAXLEN", Option.TRIM),
                        with("MINID", Option.TRIM, Since.REDIS_6_2, Missing.CARRIED),
                        with("LIMIT", 1, Since.NOWHERE, Missing.DROPPED),
                        flag("KEEPREF", Since.REDIS_8_2_ONLY, Missing.DROPPED),
                        flag("DELREF", Since.REDIS_8_2_ONLY, Missing.REFUSED),
                        flag("ACKED", Since.REDIS_8_2_ONLY, Missing.REFUSED))
                .rewritten(Rewriting.XTRIM));
        rules.add(plain("XDEL"));
        rules.add(plain("XACK"));
        rules.add(tail(
                "XSETID",
                3,
                with("ENTRIESADDED", 1, Since.REDIS_7_0, Missing.DROPPED),
                with("MAXDELETEDID", 1, Since.REDIS_7_0, Missing.DROPPED)));
        rules.add(tail("XGROUP CREATE", 5, flag("MKSTREAM"), with("ENTRIESREAD", 1, Since.REDIS_7_0, Missing.DROPPED)));
        rules.add(tail("XGROUP SETID", 5, with("ENTRIESREAD", 1, Since.REDIS_7_0, Missing.DROPPED)));
        rules.add(plain("XGROUP DESTROY"));
        rules.add(plain("XGROUP DELCONSUMER"));
        rules.add(plain("XGROUP CREATECONSUMER").since(Since.REDIS_6_2).rewritten(Rewriting.CREATECONSUMER));
        rules.add(plain("XCLAIM").meaning(Since.REDIS_7_0).rewritten(Rewriting.XCLAIM));
        rules.add(effects("XREADGROUP"));
        rules.add(effects("XAUTOCLAIM"));
        rules.add(plain("XDELEX")
                .optionsAt(
                        Form.HEAD,
                        2,
                        0,
                        flag("KEEPREF"),
                        flag("DELREF", Since.REDIS_8_2_ONLY, Missing.REFUSED),
                        flag("ACKED", Since.REDIS_8_2_ONLY, Missing.REFUSED))
                .since(Since.REDIS_8_2_ONLY)
                .rewritten(Rewriting.XDELEX));
        rules.add(plain("XACKDEL").since(Since.REDIS_8_2_ONLY));
    }

    private static void scriptsAndMessages(List<Rule> rules) {
        for (String name : List.of("EVAL", "EVALSHA", "FCALL")) {
            rules.add(effects(name));
        }
        rules.add(plain("SCRIPT LOAD"));
        rules.add(tail(
                "SCRIPT FLUSH",
                2,
                flag("ASYNC", Since.REDIS_6_2, Missing.DROPPED),
                flag("SYNC", Since.REDIS_6_2, Missing.DROPPED)));
        rules.add(plain("FUNCTION LOAD").since(Since.REDIS_7_0));
        rules.add(plain("FUNCTION RESTORE").since(Since.REDIS_7_0).rewritten(Rewriting.FUNCTION_RESTORE));
        rules.add(plain("FUNCTION DELETE").since(Since.REDIS_7_0).rewritten(Rewriting.NOTHING));
        rules.add(plain("FUNCTION FLUSH").since(Since.REDIS_7_0).rewritten(Rewriting.NOTHING));
        rules.add(plain("PUBLISH"));
        rules.add(plain("SPUBLISH").since(Since.REDIS_7_0).rewritten(Rewriting.NOTHING));
    }
}
