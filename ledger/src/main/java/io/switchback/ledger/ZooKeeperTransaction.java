package io.switchback.ledger;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.ZooDefs.Ids;

/**
 * A transaction as one request to an ensemble: the fence of its session, the counter of changes, and the operations in their order, each
 * seeing what those before it did. Pure; for one thread.
 *
 * <p>The ensemble keeps versions as a ledger does: 0 for a node that was created, one more for each new value, within one request too.
 */
final class ZooKeeperTransaction {
    private static final byte[] NOTHING = new byte[0];
    private static final int FENCE = 0;

    private final ZooKeeperLayout layout;
    private final List<Op> request = new ArrayList<>();
    /** By the number of an operation of the request: whose it is; empty for the ledger's own. */
    private final List<Optional<Operation>> owners = new ArrayList<>();

    private ZooKeeperTransaction(ZooKeeperLayout layout) {
        this.layout = layout;
    }

    /** Whose presence has to be known before the request can be made: what is put and was not touched before. */
    static Set<String> putsToLookAt(List<Operation> operations) {
        Set<String> touched = new LinkedHashSet<>();
        Set<String> puts = new LinkedHashSet<>();
        for (Operation operation : operations) {
            if (touched.add(operation.path()) && operation instanceof Operation.Put) {
                puts.add(operation.path());
            }
        }
        return puts;
    }

    /** Whether there is anything that others could see. */
    static boolean changesSomething(List<Operation> operations) {
        return !operations.stream()
                .allMatch(operation ->
                        operation instanceof Operation.Expect || operation instanceof Operation.ExpectAbsent);
    }

    /** @param present of each of {@link #putsToLookAt}, whether it is there */
    static ZooKeeperTransaction of(
            ZooKeeperLayout layout,
            ZooKeeperSession session,
            long number,
            List<Operation> operations,
            Map<String, Boolean> present) {
        ZooKeeperTransaction transaction = new ZooKeeperTransaction(layout);
        byte[] mark = ByteBuffer.allocate(Long.BYTES).putLong(number).array();
        transaction.own(Op.setData(session.fence(), mark, session.fenceVersion()));
        if (changesSomething(operations)) {
            transaction.own(Op.setData(layout.changes(), NOTHING, ZooKeeperSession.ANY_VERSION));
        }
        Map<String, Boolean> there = new HashMap<>(present);
        operations.forEach(operation -> transaction.add(operation, there));
        return transaction;
    }

    List<Op> request() {
        return request;
    }

    /** What the refusal of an operation of the request means. */
    enum Refusal {
        /** The session is not the present one any more, or was not settled. */
        OF_THE_FENCE,
        /** The ledger is not whole. */
        OF_THE_LEDGER,
        /** A folder is missing, or what is put came or went: another try may do. */
        OF_WHAT_WAS_BELIEVED,
        /** An operation did not find what it needs. */
        CONFLICT
    }

    Refusal refusal(int failed, Code code) {
        if (failed == FENCE) {
            return Refusal.OF_THE_FENCE;
        }
        return owner(failed)
                .map(operation -> switch (operation) {
                    case Operation.Put _ -> Refusal.OF_WHAT_WAS_BELIEVED;
                    case Operation.Create _, Operation.ExpectAbsent _ ->
                        code == Code.NODEEXISTS ? Refusal.CONFLICT : Refusal.OF_WHAT_WAS_BELIEVED;
                    case Operation.Replace _, Operation.Expect _, Operation.Delete _ -> Refusal.CONFLICT;
                })
                .orElse(Refusal.OF_THE_LEDGER);
    }

    Optional<Operation> owner(int operation) {
        return owners.get(operation);
    }

    private void add(Operation operation, Map<String, Boolean> there) {
        String path = operation.path();
        String node = layout.entry(path);
        switch (operation) {
            case Operation.Create(String _, byte[] value) -> request(operation, create(node, value));
            case Operation.Put(String _, byte[] value) ->
                request(
                        operation,
                        there.getOrDefault(path, false)
                                ? Op.setData(node, value.clone(), ZooKeeperSession.ANY_VERSION)
                                : create(node, value));
            case Operation.Replace(String _, byte[] value, long version) ->
                request(operation, Op.setData(node, value.clone(), version(version)));
            case Operation.Delete _ -> request(operation, Op.delete(node, ZooKeeperSession.ANY_VERSION));
            case Operation.Expect(String _, long version) -> request(operation, Op.check(node, version(version)));
            case Operation.ExpectAbsent _ -> {
                request(operation, create(node, NOTHING));
                request(operation, Op.delete(node, ZooKeeperSession.ANY_VERSION));
            }
        }
        there.put(path, !(operation instanceof Operation.Delete || operation instanceof Operation.ExpectAbsent));
    }

    private static Op create(String node, byte[] value) {
        return Op.create(node, value.clone(), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    }

    /** Versions are ints there, and below zero means any: what no entry can be at becomes what none will ever be at. */
    private static int version(long expected) {
        return expected < 0 || expected > Integer.MAX_VALUE ? Integer.MAX_VALUE : (int) expected;
    }

    private void own(Op op) {
        request.add(op);
        owners.add(Optional.empty());
    }

    private void request(Operation operation, Op op) {
        request.add(op);
        owners.add(Optional.of(operation));
    }
}
