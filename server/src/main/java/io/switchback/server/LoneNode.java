package io.switchback.server;

import io.switchback.ledger.Member;
import io.switchback.peers.PeerHandler;
import io.switchback.release.Nodes;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** The only node of its ledger: what it asks, it answers itself. Thread-safe. */
record LoneNode(Member self, PeerHandler handler) implements Nodes {
    @Override
    public boolean isShared() {
        return false;
    }

    /** Its ledger is locked by this process: nobody else can have taken its name. */
    @Override
    public void superseded() {
        throw new IllegalStateException("two processes have one embedded ledger open");
    }

    @Override
    public CompletableFuture<byte[]> ask(String node, String subject, byte[] question, Duration limit) {
        if (!node.equals(self.node())) {
            return CompletableFuture.failedFuture(
                    new IllegalArgumentException("node " + node + " is not known to the only node " + self.node()));
        }
        return handler.answer(node, subject, question)
                .toCompletableFuture()
                .copy()
                .orTimeout(limit.toNanos(), TimeUnit.NANOSECONDS);
    }
}
