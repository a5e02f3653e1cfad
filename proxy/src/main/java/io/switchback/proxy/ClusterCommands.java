package io.switchback.proxy;

import io.switchback.proxy.SessionCommands.Perform;
import io.switchback.proxy.SessionCommands.Refuse;
import io.switchback.proxy.SessionCommands.Verdict;
import io.switchback.resp.CommandKeys;
import io.switchback.resp.CommandRule;
import io.switchback.resp.CommandRule.Placement;
import io.switchback.resp.CommandRule.Treatment;
import io.switchback.resp.CommandTable;
import org.jspecify.annotations.Nullable;

/** Decides what becomes of a command in front of a cluster, where that differs from what becomes of it in front of one server. Without state. */
final class ClusterCommands {
    /** In the servers' words. */
    private static final String SEVERAL_SLOTS = "CROSSSLOT Keys in request don't hash to the same slot";

    private ClusterCommands() {}

    static String refusal(CommandRule rule) {
        return "ERR switchback: " + rule.words()
                + " is not supported in front of a cluster: it is about one server, and the keys are on several";
    }

    /** Null where it is as in front of one server. */
    static @Nullable Verdict judge(ClientSession session, CommandRule rule, byte[][] command) {
        boolean inTransaction = session.transaction.open;
        Placement placement = CommandTable.placement(rule, command);
        if (rule.treatment() == Treatment.REFUSED && placement != Placement.SWITCHBACK) {
            return null;
        }
        return switch (placement) {
            case REFUSED -> new Refuse(refusal(rule));
            case SWITCHBACK ->
                inTransaction
                        ? SessionCommands.refusedInTransaction(rule)
                        : ClusterAnswer.judge(session, rule, command);
            case EVERYWHERE -> everywhere(session, rule, command, inTransaction);
            case KEYS, SPLIT -> byKeys(session, rule, command, inTransaction);
            case ONE, BY_SUBCOMMAND -> null;
        };
    }

    private static @Nullable Verdict everywhere(
            ClientSession session, CommandRule rule, byte[][] command, boolean inTransaction) {
        if (inTransaction) {
            return new Refuse("ERR switchback: " + rule.words()
                    + " is not supported inside MULTI in front of a cluster: it is about every shard");
        }
        return switch (rule.name()) {
            case "scan" -> command.length < 2 ? null : new Perform(new ClusterScan(session, rule, command));
            case "script|kill", "function|kill" -> command.length != 2 ? null : AloneAtEachShard.kill(session, command);
            case "client|pause", "client|unpause" -> AloneAtEachShard.pause(session, command);
            case "monitor" ->
                command.length > 1
                        ? null
                        : session.needsOwnConnection()
                                        || session.shardTracking.isOn()
                                        || !session.subscriptions.isEmpty()
                                ? new Refuse(SessionCommands.MONITOR_REFUSAL)
                                : new Perform(session.monitor.asking(false));
            case "client|tracking", "client|caching" ->
                command.length < 3 ? null : ClientTracking.judge(session, command);
            case "wait", "waitaof" -> {
                Blocking blocking = Blocking.of(rule, command);
                yield blocking == null ? null : new Perform(new ClusterWait(session, rule, command, blocking));
            }
            case "randomkey" -> command.length == 1 ? new Perform(new RandomKeyOfAnyShard(session, command)) : null;
            default ->
                new Perform(new EveryShardOperation(session, EveryShardOperation.name(rule, command), rule, command));
        };
    }

    private static @Nullable Verdict byKeys(
            ClientSession session, CommandRule rule, byte[][] command, boolean inTransaction) {
        if (rule.name().startsWith("cluster|")) {
            return inTransaction ? SessionCommands.refusedInTransaction(rule) : ClusterAnswer.ofSlot(session, command);
        }
        int slot = session.lane().slot(command, rule);
        if (slot == CommandKeys.SEVERAL_SLOTS) {
            boolean splits =
                    rule.placement() == Placement.SPLIT && !inTransaction && SplitOperation.canSplit(rule, command);
            return splits ? new Perform(new SplitOperation(session, rule, command)) : new Refuse(SEVERAL_SLOTS);
        }
        if (slot < 0) {
            return null;
        }
        return switch (rule.name()) {
            case "hscan", "sscan", "zscan" ->
                inTransaction || command.length < 3
                        ? ofTransaction(session, slot)
                        : new Perform(new ClusterScan(session, rule, command));
            case "ssubscribe", "sunsubscribe" -> null;
            case "watch" -> isWatchedElsewhere(session, slot) ? new Refuse(SEVERAL_SLOTS) : null;
            default -> ofTransaction(session, slot);
        };
    }

    /** What is queued must be of one slot, and of the shard of what is watched. */
    private static @Nullable Verdict ofTransaction(ClientSession session, int slot) {
        Transaction transaction = session.transaction;
        if (!transaction.open) {
            return null;
        }
        if (transaction.slot >= 0 && transaction.slot != slot) {
            return new Refuse(SEVERAL_SLOTS);
        }
        return isWatchedElsewhere(session, slot) ? new Refuse(SEVERAL_SLOTS) : null;
    }

    private static boolean isWatchedElsewhere(ClientSession session, int slot) {
        BackendConnection own = session.own().current();
        return session.transaction.watching
                && own != null
                && !own.server.equals(session.lane().server(slot));
    }
}
