package io.switchback.ledger;

import io.switchback.environment.Deadline;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Supplier;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.ZooKeeper;

/**
 * One session with an ensemble, from the moment on at which its fence is there. Any thread may ask; the numbers of the fence are
 * guarded by the ledger's lock for writing.
 *
 * <p>The fence is a node of this session's own. Every transaction raises its version by one from a version that it names, and every other write
 * wants it to be there. A next session of the same ledger object takes it away before it does anything. So nothing of an earlier session can take
 * effect once the next one has begun, whatever servers still hold of it, and of one session's transactions only the one that knows
 * the present version can.
 */
final class ZooKeeperSession {
    private final ZooKeeper handle;
    private final String fence;
    private final Tenure tenure;

    /** The fence's version, as far as it is known. */
    private int fenceVersion;
    /** Drawn for each transaction: what the fence holds says which one was the last. */
    private long lastTransaction;
    /** A transaction was sent and not answered: whether it took effect must be found out before anything else is answered. */
    private volatile boolean unsettled;

    ZooKeeperSession(ZooKeeper handle, String fence, Tenure tenure) {
        this.handle = handle;
        this.fence = fence;
        this.tenure = tenure;
    }

    ZooKeeper handle() {
        return handle;
    }

    long id() {
        return handle.getSessionId();
    }

    String fence() {
        return fence;
    }

    Tenure tenure() {
        return tenure;
    }

    /** Wants this session to be the ledger's present one, and changes nothing. */
    Op stillMine() {
        return Op.check(fence, ANY_VERSION);
    }

    /** What {@link Op} calls any version. */
    static final int ANY_VERSION = -1;

    int fenceVersion() {
        return fenceVersion;
    }

    void fenceIsAt(int version) {
        fenceVersion = version;
        unsettled = false;
    }

    long nextTransaction() {
        return ++lastTransaction;
    }

    long lastTransaction() {
        return lastTransaction;
    }

    void unsettled() {
        unsettled = true;
    }

    boolean isUnsettled() {
        return unsettled;
    }

    Answer ask(List<Op> operations, Deadline deadline) {
        return ask(handle, operations, deadline);
    }

    /** As {@link #ask}; who wants the answer waits for it. */
    Supplier<Answer> send(List<Op> operations, Deadline deadline) {
        return send(handle, operations, deadline);
    }

    /**
     * Sends operations, all reads or all writes, in one request, and waits for what becomes of them. An interrupt neither ends nor shortens the
     * wait, which the deadline ends; the thread is interrupted afterwards.
     */
    static Answer ask(ZooKeeper handle, List<Op> operations, Deadline deadline) {
        return send(handle, operations, deadline).get();
    }

    private static Supplier<Answer> send(ZooKeeper handle, List<Op> operations, Deadline deadline) {
        CompletableFuture<Answer> answer = new CompletableFuture<>();
        handle.multi(
                operations,
                (code, path, context, results) ->
                        answer.complete(new Answer(Code.get(code), results == null ? List.of() : results)),
                null);
        return () -> await(answer, new Answer(Code.OPERATIONTIMEOUT, List.of()), deadline);
    }

    static <T> T await(CompletableFuture<T> future, T otherwise, Deadline deadline) {
        boolean interrupted = false;
        try {
            while (true) {
                try {
                    return future.get(deadline.remaining().toNanos(), TimeUnit.NANOSECONDS);
                } catch (InterruptedException e) {
                    interrupted = true;
                } catch (TimeoutException e) {
                    return otherwise;
                } catch (ExecutionException e) {
                    throw new AssertionError("it is only ever completed with a value", e);
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** What the ensemble says, or that it says nothing. */
    record Answer(Code code, List<OpResult> results) {
        boolean ok() {
            return code == Code.OK;
        }

        /** Nobody knows what has become of it. */
        boolean lost() {
            return switch (code) {
                case CONNECTIONLOSS, SESSIONEXPIRED, SESSIONMOVED, OPERATIONTIMEOUT, REQUESTTIMEOUT, SYSTEMERROR ->
                    true;
                default -> false;
            };
        }

        /** Of a refused request, the number of the operation that refuses. */
        int failed() {
            for (int i = 0; i < results.size(); i++) {
                if (results.get(i) instanceof OpResult.ErrorResult error && error.getErr() != Code.OK.intValue()) {
                    return i;
                }
            }
            throw new IllegalStateException("nothing has failed: " + code);
        }

        boolean failedAt(int operation) {
            return !lost() && !ok() && failed() == operation;
        }
    }
}
