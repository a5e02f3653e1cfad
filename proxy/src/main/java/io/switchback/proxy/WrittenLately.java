package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.environment.Environment;
import io.switchback.resp.CommandRule;
import io.switchback.resp.CommandTable;
import io.switchback.resp.RequestScanner;
import java.util.Arrays;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * When this node was last told that a key was written, so that a client which has the answer to its write, and reads over another connection of its
 * own, is not answered from what was read before. The server's word that the key has changed may come a moment after that answer.
 *
 * <p>One for all event loops of a cache, any thread. Keys that share a place are taken for written together; of commands whose keys are not known
 * here, all keys are. That costs reads of the fleet, never the truth.
 */
final class WrittenLately {
    private static final int PLACES = 1 << 16;

    /** Their key is their first argument. */
    private static final Set<CommandRule> OF_FIRST =
            rules("append bitfield decr decrby expire expireat geoadd getdel getex getset hdel"
                    + " hexpire hexpireat hgetdel hgetex hincrby hincrbyfloat hmset hpersist hpexpire hpexpireat hset hsetex hsetnx incr incrby"
                    + " incrbyfloat linsert lpop lpush lpushx lrem lset ltrim persist pexpire pexpireat pfadd psetex restore rpop rpush rpushx"
                    + " sadd set setbit setex setnx setrange spop srem xack xadd xdel xtrim zadd zincrby zpopmax zpopmin zrem zremrangebylex"
                    + " zremrangebyrank zremrangebyscore");
    /** All their arguments are keys. */
    private static final Set<CommandRule> OF_ALL = rules("del unlink");
    /** Every other argument is a key. */
    private static final Set<CommandRule> OF_EACH_SECOND = rules("mset msetnx");

    private final Environment environment;
    private final AtomicLongArray writtenAtNanos = new AtomicLongArray(PLACES);
    private final AtomicLong allWrittenAtNanos;

    WrittenLately(Environment environment) {
        this.environment = environment;
        long before = environment.nanoTime();
        for (int i = 0; i < PLACES; i++) {
            writtenAtNanos.setPlain(i, before);
        }
        this.allWrittenAtNanos = new AtomicLong(before);
    }

    private static Set<CommandRule> rules(String names) {
        Set<CommandRule> rules = Collections.newSetFromMap(new IdentityHashMap<>());
        Pattern.compile(" ").splitAsStream(names).forEach(name -> {
            CommandRule rule = CommandTable.find(name);
            if (rule == null || rule.repeatable()) {
                throw new IllegalStateException(name + " is no command that writes");
            }
            rules.add(rule);
        });
        return rules;
    }

    /** Whether what was asked for then cannot have seen all writes of this key that have been answered. */
    boolean mayHaveMissed(byte[] key, long askedAtNanos) {
        return askedAtNanos - writtenAtNanos.get(place(key)) <= 0 || askedAtNanos - allWrittenAtNanos.get() <= 0;
    }

    /** Replies to a run that may write have come, and have not been passed on. */
    void answered(Run run) {
        long now = environment.nanoTime();
        if (run.inPieces) {
            allWrittenAtNanos.set(now);
            return;
        }
        RequestScanner scanner = new RequestScanner(Integer.MAX_VALUE, SessionCommands.RESERVED);
        ByteBuf request = run.request;
        int index = 0;
        for (int i = 0; i < run.commands; i++) {
            scanner.next(request, index);
            CommandRule rule = CommandTable.find(request, index + scanner.nameOffset(), scanner.nameLength());
            if (rule == null || !rule.repeatable()) {
                written(rule, request, index, now);
            }
            index = scanner.end();
        }
    }

    private void written(@Nullable CommandRule rule, ByteBuf request, int index, long now) {
        if (rule != null && OF_FIRST.contains(rule)) {
            if (RequestScanner.words(request, index) > 1) {
                writtenAtNanos.set(place(RequestScanner.copyArguments(request, index, 2)[1]), now);
            }
        } else if (rule != null && OF_ALL.contains(rule)) {
            written(request, index, 1, now);
        } else if (rule != null && OF_EACH_SECOND.contains(rule)) {
            written(request, index, 2, now);
        } else {
            allWrittenAtNanos.set(now);
        }
    }

    private void written(ByteBuf request, int index, int step, long now) {
        byte[][] words = RequestScanner.copyArguments(request, index);
        for (int i = 1; i < words.length; i += step) {
            writtenAtNanos.set(place(words[i]), now);
        }
    }

    private static int place(byte[] key) {
        int hash = Arrays.hashCode(key);
        return (hash ^ hash >>> 16) & PLACES - 1;
    }
}
