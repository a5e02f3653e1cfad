package io.switchback.peers;

import java.util.concurrent.CompletionStage;

/** Answers what other nodes ask. */
@FunctionalInterface
public interface PeerHandler {
    /**
     * The answer; a stage that fails tells the asker why. Called on the network's own thread, or on the asker's where a node asks
     * itself: it must not block.
     *
     * @param node that asks, as it has proven by the secret that it may
     * @param subject what kind of question
     */
    CompletionStage<byte[]> answer(String node, String subject, byte[] question);
}
