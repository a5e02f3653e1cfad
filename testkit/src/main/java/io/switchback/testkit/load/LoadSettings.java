package io.switchback.testkit.load;

import java.time.Duration;
import java.util.List;
import java.util.Optional;

/**
 * What a {@link Load} does.
 *
 * @param host of the server or proxy
 * @param port of the server or proxy
 * @param clients how many, each with a thread and a connection of its own
 * @param operationsPerSecond over all clients; 0 for as many as they can
 * @param keys how many keys of plain strings are written over and over; about half as many of other types come on top
 * @param valueBytes the length of a string's value
 * @param databases the clients are spread over these
 * @param user empty for the default user
 * @param password empty where none is needed
 * @param timeout for connecting and for every reply
 * @param preload whether every plain string is written once before the load begins
 * @param seed decides which operations are done on which keys, in which order for each client
 */
public record LoadSettings(
        String host,
        int port,
        int clients,
        int operationsPerSecond,
        int keys,
        int valueBytes,
        List<Integer> databases,
        Optional<String> user,
        Optional<String> password,
        Duration timeout,
        boolean preload,
        long seed) {

    /** The shortest value that can be told from every other. */
    public static final int VALUE_BYTES_MIN = 32;

    public LoadSettings {
        require(clients > 0, "clients must be at least 1");
        require(operationsPerSecond >= 0, "operationsPerSecond must not be negative");
        require(keys >= clients, "keys must be at least one for each client");
        require(valueBytes >= VALUE_BYTES_MIN, "valueBytes must be at least " + VALUE_BYTES_MIN);
        require(!databases.isEmpty(), "databases must name at least one");
        databases = List.copyOf(databases);
    }

    /** A modest load: 8 clients, 2,000 operations a second, 2,000 keys of 64 bytes, database 0. */
    public static LoadSettings on(String host, int port) {
        return new LoadSettings(
                host,
                port,
                8,
                2_000,
                2_000,
                64,
                List.of(0),
                Optional.empty(),
                Optional.empty(),
                Duration.ofSeconds(10),
                false,
                1);
    }

    public LoadSettings withClients(int count) {
        return new LoadSettings(
                host,
                port,
                count,
                operationsPerSecond,
                keys,
                valueBytes,
                databases,
                user,
                password,
                timeout,
                preload,
                seed);
    }

    public LoadSettings withOperationsPerSecond(int rate) {
        return new LoadSettings(
                host, port, clients, rate, keys, valueBytes, databases, user, password, timeout, preload, seed);
    }

    public LoadSettings withKeys(int count) {
        return new LoadSettings(
                host,
                port,
                clients,
                operationsPerSecond,
                count,
                valueBytes,
                databases,
                user,
                password,
                timeout,
                preload,
                seed);
    }

    public LoadSettings withValueBytes(int bytes) {
        return new LoadSettings(
                host,
                port,
                clients,
                operationsPerSecond,
                keys,
                bytes,
                databases,
                user,
                password,
                timeout,
                preload,
                seed);
    }

    public LoadSettings withDatabases(Integer... numbers) {
        return new LoadSettings(
                host,
                port,
                clients,
                operationsPerSecond,
                keys,
                valueBytes,
                List.of(numbers),
                user,
                password,
                timeout,
                preload,
                seed);
    }

    public LoadSettings withPassword(String secret) {
        return new LoadSettings(
                host,
                port,
                clients,
                operationsPerSecond,
                keys,
                valueBytes,
                databases,
                user,
                Optional.of(secret),
                timeout,
                preload,
                seed);
    }

    public LoadSettings withUser(String name, String secret) {
        return new LoadSettings(
                host,
                port,
                clients,
                operationsPerSecond,
                keys,
                valueBytes,
                databases,
                Optional.of(name),
                Optional.of(secret),
                timeout,
                preload,
                seed);
    }

    public LoadSettings withTimeout(Duration limit) {
        return new LoadSettings(
                host,
                port,
                clients,
                operationsPerSecond,
                keys,
                valueBytes,
                databases,
                user,
                password,
                limit,
                preload,
                seed);
    }

    public LoadSettings withPreload(boolean wanted) {
        return new LoadSettings(
                host,
                port,
                clients,
                operationsPerSecond,
                keys,
                valueBytes,
                databases,
                user,
                password,
                timeout,
                wanted,
                seed);
    }

    public LoadSettings withSeed(long number) {
        return new LoadSettings(
                host,
                port,
                clients,
                operationsPerSecond,
                keys,
                valueBytes,
                databases,
                user,
                password,
                timeout,
                preload,
                number);
    }

    private static void require(boolean holds, String message) {
        if (!holds) {
            throw new IllegalArgumentException(message);
        }
    }
}
