package io.switchback.release;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.function.Supplier;

/** Answers to other nodes that need waiting: each has a thread of its own, so that no server which is silent keeps another answer back. */
final class Answering {
    private Answering() {}

    static <A> CompletionStage<A> waiting(Supplier<A> answer) {
        return CompletableFuture.supplyAsync(
                answer, task -> Thread.ofVirtual().name("answer").start(task));
    }
}
