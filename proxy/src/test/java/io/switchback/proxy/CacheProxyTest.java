package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import io.switchback.testkit.RealServer;
import java.io.ByteArrayOutputStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Pipeline;
import redis.clients.jedis.Transaction;

/** What a client sees that does nothing unusual, while nothing happens. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class CacheProxyTest {
    private RealServer server;
    private CacheProxy proxy;

    @BeforeAll
    void start(@TempDir Path folder) {
        server = ProxyFixture.server(folder);
        proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1));
    }

    @AfterAll
    void stop() {
        proxy.close();
        server.close();
    }

    @BeforeEach
    void empty() {
        server.call("FLUSHALL");
    }

    @Test
    void aValueThatWasSetIsReadBack() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            assertThat(client.text("SET", "k", "v")).isEqualTo("OK");
            assertThat(client.text("get", "k")).isEqualTo("v");
            assertThat(client.call("GET", "none")).isEqualTo(new Reply.Nil());
            assertThat(client.text("LPUSH", "k", "x")).startsWith("-WRONGTYPE");
        }
    }

    @Test
    void jedisWorksAsOnTheServerItself() {
        try (Jedis jedis = new Jedis(
                proxy.addresses().getFirst().host(),
                proxy.addresses().getFirst().port())) {
            assertThat(jedis.set("a", "1")).isEqualTo("OK");
            assertThat(jedis.incr("a")).isEqualTo(2);
            try (Pipeline pipeline = jedis.pipelined()) {
                for (int i = 0; i < 5000; i++) {
                    pipeline.set("p" + i, "v" + i);
                    pipeline.get("p" + i);
                }
                List<Object> replies = pipeline.syncAndReturnAll();
                for (int i = 0; i < 5000; i++) {
                    assertThat(replies.get(2 * i + 1)).isEqualTo("v" + i);
                }
            }
            try (Transaction transaction = jedis.multi()) {
                transaction.incr("a");
                transaction.get("a");
                assertThat(transaction.exec()).containsExactly(3L, "3");
            }
            jedis.select(3);
            assertThat(jedis.get("a")).isNull();
            assertThat(jedis.dbSize()).isZero();
        }
    }

    @Test
    void largeValuesPassInBothDirections() {
        byte[] value = new byte[5_000_000];
        for (int i = 0; i < value.length; i++) {
            value[i] = (byte) (i * 31);
        }
        try (Jedis jedis = new Jedis(
                proxy.addresses().getFirst().host(),
                proxy.addresses().getFirst().port())) {
            jedis.set("large".getBytes(java.nio.charset.StandardCharsets.UTF_8), value);
            assertThat(jedis.get("large".getBytes(java.nio.charset.StandardCharsets.UTF_8)))
                    .isEqualTo(value);
        }
    }

    @Test
    void manyPipeliningClientsGetTheirOwnRepliesInOrder() throws Exception {
        int clients = 24;
        try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<Integer>> results = new ArrayList<>();
            for (int c = 0; c < clients; c++) {
                String name = "c" + c;
                results.add(threads.submit((Callable<Integer>) () -> pipelines(name)));
            }
            for (Future<Integer> result : results) {
                assertThat(result.get()).isEqualTo(200 * 16);
            }
        }
    }

    private int pipelines(String name) {
        int seen = 0;
        try (RawClient client = ProxyFixture.client(proxy)) {
            for (int round = 0; round < 200; round++) {
                ByteArrayOutputStream batch = new ByteArrayOutputStream();
                for (int i = 0; i < 16; i++) {
                    CommandEncoder.encode(batch, CommandEncoder.bytes("ECHO", name + ":" + round + ":" + i));
                }
                client.sendRaw(batch.toByteArray());
                for (int i = 0; i < 16; i++) {
                    assertThat(client.reply().text()).isEqualTo(name + ":" + round + ":" + i);
                    seen++;
                }
            }
        }
        return seen;
    }

    @Test
    void trafficIsCountedWithItsErrors() {
        FleetTraffic before = proxy.traffic().of("old");
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.text("SET", "k", "v");
            client.text("INCR", "k");
            client.text("GET", "k");
        }
        FleetTraffic after = proxy.traffic().of("old");
        assertThat(after.requests() - before.requests()).isEqualTo(3);
        assertThat(after.errors() - before.errors()).isEqualTo(1);
        assertThat(after.latencyMicros().getTotalCount()).isEqualTo(after.requests());
        assertThat(after.sumNanos()).isPositive();
    }
}
