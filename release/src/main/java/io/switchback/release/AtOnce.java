package io.switchback.release;

import io.switchback.fleet.FleetException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * Several servers asked at the same time, while clients are held: that takes as long as the slowest of them, not as all together. Without state.
 *
 * <p>Each is asked by a virtual thread of its own, over a connection that nobody else uses meanwhile; the caller waits for all of them, so that when one has failed
 * nothing is under way at another.
 */
final class AtOnce {
    private static final Executor THREADS =
            task -> Thread.ofVirtual().name("asks a server").start(task);

    private AtOnce() {}

    /**
     * The answers, in the order of {@code servers}.
     *
     * @throws FleetException of the first of them that has failed; those of others are suppressed in it
     */
    static <S, T> List<T> ask(List<S> servers, Function<? super S, ? extends T> question) {
        if (servers.size() == 1) {
            return List.of(question.apply(servers.getFirst()));
        }
        List<CompletableFuture<T>> asked = new ArrayList<>();
        for (S server : servers) {
            asked.add(CompletableFuture.supplyAsync(() -> question.apply(server), THREADS));
        }
        List<T> answers = new ArrayList<>();
        RuntimeException failed = null;
        for (CompletableFuture<T> answer : asked) {
            try {
                answers.add(answer.join());
            } catch (CompletionException e) {
                RuntimeException cause = e.getCause() instanceof RuntimeException known ? known : e;
                if (failed == null) {
                    failed = cause;
                } else {
                    failed.addSuppressed(cause);
                }
            }
        }
        if (failed != null) {
            throw failed;
        }
        return answers;
    }

    /** As {@link #ask}, where there is nothing to be answered. */
    static <S> void tell(List<S> servers, Consumer<? super S> word) {
        ask(servers, server -> {
            word.accept(server);
            return server;
        });
    }
}
