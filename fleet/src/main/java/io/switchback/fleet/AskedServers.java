package io.switchback.fleet;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.Function;

/**
 * Connections to several servers, over which all of them are asked at once. They are kept from one look to the next.
 *
 * <p>For one thread at a time, which waits for a virtual thread for each server; so nobody waits for one that is silent longer than for one
 * question to it.
 */
final class AskedServers implements AutoCloseable {
    private final Optional<Credential> credential;
    private final Optional<FleetTls> tls;
    private final Map<Endpoint, ServerConnection> kept = new HashMap<>();
    private final ExecutorService threads = Executors.newThreadPerTaskExecutor(
            Thread.ofVirtual().name("asks a server ", 1).factory());

    /**
     * What came of asking.
     *
     * @param answers of those that answered
     * @param failures of the others: why not
     */
    record Answers<T>(Map<Endpoint, T> answers, Map<Endpoint, String> failures) {}

    private record Outcome<T>(T answer, ServerConnection connection) {}

    AskedServers(Optional<Credential> credential, Optional<FleetTls> tls) {
        this.credential = credential;
        this.tls = tls;
    }

    /** Asks each; {@code question} says what, may be called twice, and fails with a {@link FleetException}. */
    <T> Answers<T> ask(Collection<Endpoint> servers, Function<ServerConnection, T> question) {
        Map<Endpoint, CompletableFuture<Outcome<T>>> asked = new LinkedHashMap<>();
        for (Endpoint server : servers) {
            ServerConnection known = kept.remove(server);
            asked.computeIfAbsent(
                    server,
                    any -> CompletableFuture.supplyAsync(
                            () -> ask(server, Optional.ofNullable(known), question), threads));
        }
        Map<Endpoint, T> answers = new LinkedHashMap<>();
        Map<Endpoint, String> failures = new LinkedHashMap<>();
        asked.forEach((server, outcome) -> {
            try {
                Outcome<T> done = outcome.join();
                answers.put(server, done.answer());
                kept.put(server, done.connection());
            } catch (CompletionException e) {
                if (!(e.getCause() instanceof FleetException failure)) {
                    throw e;
                }
                failures.put(server, String.valueOf(failure.getMessage()));
            }
        });
        return new Answers<>(answers, failures);
    }

    private <T> Outcome<T> ask(
            Endpoint server, Optional<ServerConnection> known, Function<ServerConnection, T> question) {
        if (known.isPresent()) {
            try {
                return new Outcome<>(question.apply(known.get()), known.get());
            } catch (FleetException e) {
                known.get().close(); // it may have broken since, which says nothing about the server
            }
        }
        ServerConnection connection = ServerConnection.open(server, credential, tls, FleetSight.ANSWER_LIMIT);
        try {
            return new Outcome<>(question.apply(connection), connection);
        } catch (FleetException e) {
            connection.close();
            throw e;
        }
    }

    /** Closes the connections to all but these. */
    void keepOnly(Collection<Endpoint> servers) {
        List<Endpoint> others = new ArrayList<>(kept.keySet());
        others.removeAll(servers);
        for (Endpoint other : others) {
            Optional.ofNullable(kept.remove(other)).ifPresent(ServerConnection::close);
        }
    }

    @Override
    public void close() {
        keepOnly(List.of());
        threads.shutdown();
    }
}
