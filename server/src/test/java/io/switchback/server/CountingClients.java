package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.exceptions.JedisConnectionException;
import redis.clients.jedis.exceptions.JedisDataException;

/**
 * Clients that increment a counter each, as fast as they are answered, and ask nothing twice: a counter that is not what they were
 * told has lost an increment or has got one twice. A client whose connection breaks ends.
 */
final class CountingClients implements AutoCloseable {
    private final List<Client> clients = new ArrayList<>();
    private volatile boolean stopping;

    /** Counters are named after {@code name}, which nobody else uses. */
    static CountingClients start(String name, int port, int count) {
        CountingClients all = new CountingClients();
        for (int i = 0; i < count; i++) {
            Client client = all.new Client(name + "-" + i, port);
            all.clients.add(client);
            client.thread.start();
        }
        return all;
    }

    /** One client. Its figures are written by its thread alone. */
    private final class Client {
        final String counter;
        final AtomicLong acknowledged = new AtomicLong();
        final AtomicLong unknown = new AtomicLong();
        final Thread thread;

        Client(String counter, int port) {
            this.counter = counter;
            this.thread = Thread.ofVirtual().unstarted(() -> count(port));
        }

        private void count(int port) {
            try (Jedis connection = new Jedis("127.0.0.1", port, 30_000)) {
                while (!stopping) {
                    try {
                        connection.incr(counter);
                        acknowledged.incrementAndGet();
                    } catch (JedisDataException e) {
                        unknown.incrementAndGet();
                    }
                }
            } catch (JedisConnectionException e) {
                unknown.incrementAndGet();
            }
        }
    }

    /** Waits until each of them has been answered so many times more. */
    void awaitMore(int each) {
        List<Long> before =
                clients.stream().map(client -> client.acknowledged.get()).toList();
        Await.until(TwoFleets.STEP_LIMIT, each + " more increments of each counter", () -> {
            for (int i = 0; i < before.size(); i++) {
                if (clients.get(i).acknowledged.get() < before.get(i) + each) {
                    return false;
                }
            }
            return true;
        });
    }

    /** Has them end with the increment that they are at. */
    void stop() {
        stopping = true;
        for (Client client : clients) {
            try {
                client.thread.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IllegalStateException("interrupted while clients were ending", e);
            }
        }
    }

    /** How many increments had no good answer. */
    long unknown() {
        return clients.stream().mapToLong(client -> client.unknown.get()).sum();
    }

    /** After {@link #stop}: each counter is what its client was told, and what it was told nothing of may be there or not. */
    void check(RealServer server) {
        for (Client client : clients) {
            assertThat(Long.parseLong(server.text("GET", client.counter)))
                    .as("%s on %s", client.counter, server)
                    .isBetween(client.acknowledged.get(), client.acknowledged.get() + client.unknown.get());
        }
    }

    @Override
    public void close() {
        stop();
    }
}
