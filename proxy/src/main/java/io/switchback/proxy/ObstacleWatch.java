package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.proxy.ClusterObstacles.Why;
import io.switchback.resp.CommandKeys;
import io.switchback.resp.CommandRule;
import io.switchback.resp.CommandRule.Placement;
import io.switchback.resp.CommandTable;
import io.switchback.resp.KeyPlaces;
import io.switchback.resp.KeySlot;
import io.switchback.resp.RequestScanner;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What one loop's clients do that a cluster in their fleet's place would not do for them ({@link ClusterObstacles}): looked at once a command has been taken, so that each
 * is counted once. It judges as {@link ClusterCommands} would.
 *
 * <p>Owned by its event loop; there while {@link CacheProxy#watchForCluster} is on, and of use while the fleet in use is no cluster. Then each command's name is read
 * once more, and the words of those that could have keys of several slots. Commands that are passed on in pieces ({@link LargeCommand}) are not looked at, and what a script does is not seen.
 */
final class ObstacleWatch {
    /** Commands with what there is against them; more of them are only counted together. */
    static final int ENTRIES_MAX = 128;
    /** Databases that are told of by number. */
    static final int DATABASES_MAX = 128;

    private static final int KEYS_SHOWN_MAX = 2;
    /** Of a key no more is kept. */
    static final int KEY_BYTES_MAX = 64;

    private final ProxyLoop loop;
    private final CommandKeys keys = new CommandKeys();
    private final RequestScanner scanner = new RequestScanner(Integer.MAX_VALUE, SessionCommands.RESERVED);
    private final Map<Name, Entry> entries = new HashMap<>();
    private final Map<Integer, Long> selected = new HashMap<>();
    private long notKept;

    private record Name(String command, Why why) {}

    /** What was seen of one of them. Immutable. */
    record Entry(String command, Why why, long times, List<String> keys, long lastNanos) {
        Entry plus(Entry other) {
            return new Entry(
                    command,
                    why,
                    times + other.times,
                    keys.isEmpty() ? other.keys : keys,
                    lastNanos - other.lastNanos > 0 ? lastNanos : other.lastNanos);
        }
    }

    /** All that was seen. Immutable. */
    record Seen(List<Entry> entries, Map<Integer, Long> selected, Map<Integer, Integer> clients, long notKept) {}

    /** What an open transaction, or what is watched, is about. Belongs to a session. */
    static final class Slots {
        private int slot = CommandKeys.NO_SLOT;
        private @Nullable String key;

        void forget() {
            slot = CommandKeys.NO_SLOT;
            key = null;
        }
    }

    ObstacleWatch(ProxyLoop loop) {
        this.loop = loop;
    }

    // --- what passes

    /** Whole commands of a client have been sent. The buffer is the caller's. */
    void sent(ClientSession session, ByteBuf in, int from, int commands) {
        int index = from;
        for (int i = 0; i < commands; i++) {
            if (scanner.next(in, index) != RequestScanner.Outcome.COMMAND) {
                scanner.reset();
                return;
            }
            CommandRule rule = CommandTable.find(in, index + scanner.nameOffset(), scanner.nameLength());
            if (rule != null && mayBeOne(rule, session.transaction.open)) {
                look(session, rule, in, index);
            }
            index = scanner.end();
        }
    }

    /** A client's command is seen to by its session. */
    void performed(ClientSession session, CommandRule rule, byte[][] command) {
        if (mayBeOne(rule, session.transaction.open)) {
            ByteBuf encoded = Wire.command(command);
            look(session, rule, encoded, encoded.readerIndex());
            encoded.release();
        }
    }

    /** A client is in that database from now on. */
    void selected(int database) {
        if (database == 0) {
            return;
        }
        if (selected.size() < DATABASES_MAX || selected.containsKey(database)) {
            selected.merge(database, 1L, Long::sum);
        } else {
            notKept++;
        }
    }

    /** What cannot be one, whatever its words are, is not looked at any closer. */
    private static boolean mayBeOne(CommandRule rule, boolean inTransaction) {
        return switch (rule.placement()) {
            case REFUSED, BY_SUBCOMMAND -> true;
            case EVERYWHERE, SPLIT -> inTransaction;
            case SWITCHBACK -> false;
            case ONE -> rule.name().equals("swapdb");
            case KEYS -> inTransaction || !(rule.keys() instanceof KeyPlaces.First) || namesMore(rule.name());
        };
    }

    /** Its first argument is its key, and others say what else it is about. */
    private static boolean namesMore(String name) {
        return switch (name) {
            case "move", "sort_ro" -> true;
            default -> false;
        };
    }

    private void look(ClientSession session, CommandRule byName, ByteBuf in, int from) {
        boolean inTransaction = session.transaction.open;
        CommandRule rule = byName;
        Placement placement = byName.placement();
        if (placement == Placement.BY_SUBCOMMAND) {
            byte[][] command = RequestScanner.copyArguments(in, from);
            CommandRule exact = CommandTable.find(command);
            if (exact == null) {
                return;
            }
            rule = exact;
            placement = CommandTable.placement(exact, command);
        }
        switch (placement) {
            case REFUSED -> saw(rule, Why.ONE_SERVER, List.of());
            case EVERYWHERE -> {
                if (inTransaction) {
                    saw(rule, Why.EVERY_SHARD_IN_TRANSACTION, List.of());
                }
            }
            case ONE -> {
                if (rule.name().equals("swapdb") && leadsElsewhere(rule, in, from)) {
                    saw(rule, Why.DATABASE, List.of());
                }
            }
            case KEYS, SPLIT -> lookAtKeys(session, rule, in, from);
            case SWITCHBACK, BY_SUBCOMMAND -> {}
        }
    }

    private void lookAtKeys(ClientSession session, CommandRule rule, ByteBuf in, int from) {
        int count = keys.find(in, from, rule.keys());
        if (count == 0) {
            if (rule.name().startsWith("eval") || rule.name().startsWith("fcall")) {
                saw(rule, Why.NO_KEYS, List.of());
            }
            return;
        }
        int slot = keys.slot(in);
        Transaction transaction = session.transaction;
        boolean watches = rule.name().equals("watch") && !transaction.open;
        if (transaction.open || (watches && slot != CommandKeys.SEVERAL_SLOTS)) {
            inTransaction(transaction.seen, rule, slot, in, count);
        } else if (slot == CommandKeys.SEVERAL_SLOTS) {
            saw(rule, Why.SEVERAL_SLOTS, shown(in, count));
        }
        if (leadsElsewhere(rule, in, from)) {
            saw(rule, Why.DATABASE, shown(in, count));
        }
        if (hasPattern(rule, in, from)) {
            saw(rule, Why.PATTERN, shown(in, count));
        }
    }

    /** Counted once a transaction. */
    private void inTransaction(Slots seen, CommandRule rule, int slot, ByteBuf in, int count) {
        if (seen.slot == CommandKeys.SEVERAL_SLOTS) {
            return;
        }
        String before = seen.key;
        if (seen.slot == CommandKeys.NO_SLOT && slot != CommandKeys.SEVERAL_SLOTS) {
            seen.slot = slot;
            seen.key = shown(in, 1).getFirst();
        } else if (slot != seen.slot) {
            seen.slot = CommandKeys.SEVERAL_SLOTS;
            saw(
                    rule,
                    Why.TRANSACTION,
                    before == null
                            ? shown(in, count)
                            : List.of(before, shown(in, 1).getFirst()));
        }
    }

    private static boolean leadsElsewhere(CommandRule rule, ByteBuf in, int from) {
        return switch (rule.name()) {
            case "move" -> true;
            case "swapdb" -> {
                byte[][] command = RequestScanner.copyArguments(in, from);
                yield command.length != 3
                        || !Wire.text(command[1]).equals("0")
                        || !Wire.text(command[2]).equals("0");
            }
            case "copy" -> {
                byte[][] command = RequestScanner.copyArguments(in, from);
                boolean leads = false;
                for (int i = 3; i + 1 < command.length; i++) {
                    leads |= SessionCommands.word(command, i).equals("DB")
                            && !Wire.text(command[i + 1]).equals("0");
                }
                yield leads;
            }
            default -> false;
        };
    }

    /** Source: https://redis.io/docs/latest/commands/sort/, "in a Redis Cluster". */
    private static boolean hasPattern(CommandRule rule, ByteBuf in, int from) {
        if (!rule.name().startsWith("sort")) {
            return false;
        }
        byte[][] command = RequestScanner.copyArguments(in, from);
        int i = 2;
        while (i + 1 < command.length) {
            switch (SessionCommands.word(command, i)) {
                case "BY" -> {
                    if (Wire.text(command[i + 1]).contains("*")) {
                        return true;
                    }
                    i++;
                }
                case "GET" -> {
                    return true; // before Redis 7.4 for the elements themselves (#) too
                }
                case "STORE" -> i++;
                case "LIMIT" -> i += 2;
                default -> {}
            }
            i++;
        }
        return false;
    }

    /** Some of those that were found last: the first one, and the first of another slot. */
    private List<String> shown(ByteBuf in, int count) {
        List<String> shown = new ArrayList<>(KEYS_SHOWN_MAX);
        int first = 0;
        for (int i = 0; i < count && shown.size() < KEYS_SHOWN_MAX; i++) {
            int slot = KeySlot.of(in, keys.start(i), keys.length(i));
            if (i == 0 || slot != first) {
                byte[] head = new byte[Math.min(keys.length(i), KEY_BYTES_MAX)];
                in.getBytes(keys.start(i), head);
                shown.add(KeyName.shown(head, keys.length(i)));
            }
            first = i == 0 ? slot : first;
        }
        return shown;
    }

    private void saw(CommandRule rule, Why why, List<String> about) {
        Name name = new Name(rule.words(), why);
        Entry known = entries.get(name);
        if (known == null && entries.size() >= ENTRIES_MAX) {
            notKept++;
            return;
        }
        Entry once = new Entry(name.command, why, 1, about, loop.nanoTime());
        entries.put(name, known == null ? once : known.plus(once));
    }

    // --- what is known

    Seen seen() {
        Map<Integer, Integer> clients = new HashMap<>();
        long others = 0;
        for (ClientSession session : loop.sessions()) {
            int database = session.identity.database();
            if (database != 0 && (clients.size() < DATABASES_MAX || clients.containsKey(database))) {
                clients.merge(database, 1, Integer::sum);
            } else if (database != 0) {
                others++;
            }
        }
        return new Seen(List.copyOf(entries.values()), Map.copyOf(selected), Map.copyOf(clients), notKept + others);
    }
}
