package io.switchback.release;

import io.switchback.ledger.Member;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;

/** The nodes that serve the same caches, as one of them knows them. Any thread. */
public interface Nodes {
    /** This node. */
    Member self();

    /** Whether there can be others: only this process can write to a ledger that is not shared. */
    boolean isShared();

    /** Another process has taken this node's name: this one must serve nobody any more. Returns at once; may be told again. */
    void superseded();

    /**
     * Asks a node, which may be this one. Asked at most once; the future fails within about the limit where there is no answer, and the
     * node may have been asked all the same.
     */
    CompletableFuture<byte[]> ask(String node, String subject, byte[] question, Duration limit);
}
