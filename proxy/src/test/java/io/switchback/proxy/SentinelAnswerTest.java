package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.Endpoint;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.JedisSentinelPool;

/** To clients that ask sentinels who the primary is, a node is one of the sentinels, and the primary. */
class SentinelAnswerTest {
    private static final String NO_SUCH = "-ERR No such master with that name";

    private RealServer server;
    private CacheProxy proxy;

    @BeforeEach
    void start(@TempDir Path folder) throws IOException {
        server = RealServer.start(ServerBinary.any(), folder);
        ProxySettings settings = new ProxySettings(
                "sessions",
                "n1",
                List.of(new Endpoint("127.0.0.1", 0)),
                ProxyFixture.LOOPS,
                ProxyLimits.DEFAULT,
                Optional.empty(),
                ProxySettings.SOCKET_MODE,
                Optional.empty(),
                new TreeSet<>(Set.of("mymaster")));
        proxy = CacheProxy.open(settings, ProxyFixture.route("blue", server, 1), false);
    }

    @AfterEach
    void stop() {
        proxy.close();
        server.close();
    }

    private RawClient client() {
        return new RawClient(address());
    }

    private Endpoint address() {
        return proxy.addresses().getFirst();
    }

    @Test
    void theNodeIsThePrimaryUnderTheNamesThatItsSentinelsKnowAndTheCachesOwn() {
        String here = "[" + address().host() + ", " + address().port() + "]";
        try (RawClient client = client()) {
            for (String name : List.of("mymaster", "sessions")) {
                assertThat(client.text("SENTINEL", "get-master-addr-by-name", name))
                        .isEqualTo(here);
                assertThat(client.text("sentinel", "GET-PRIMARY-ADDR-BY-NAME", name))
                        .isEqualTo(here);
                assertThat(client.text("SENTINEL", "MASTER", name))
                        .startsWith("[name, " + name + ", ip, " + address().host() + ", port, "
                                + address().port())
                        .contains("flags, master", "num-other-sentinels, 0");
            }
            assertThat(client.text("SENTINEL", "MASTERS"))
                    .startsWith("[[name, mymaster,")
                    .contains("[name, sessions,");
            assertThat(client.text("SENTINEL", "REPLICAS", "mymaster")).isEqualTo("[]");
            assertThat(client.text("SENTINEL", "SLAVES", "mymaster")).isEqualTo("[]");
            assertThat(client.text("SENTINEL", "SENTINELS", "mymaster")).isEqualTo("[]");
            assertThat(client.text("SENTINEL", "CKQUORUM", "mymaster")).startsWith("OK 1 usable Sentinels");
            assertThat(client.text("SENTINEL", "MYID")).matches("[0-9a-f]{40}");
        }
    }

    @Test
    void anotherNameIsNobodys() {
        try (RawClient client = client()) {
            assertThat(client.raw("SENTINEL", "get-master-addr-by-name", "other"))
                    .isEqualTo("*-1\r\n");
            for (String what : List.of("MASTER", "REPLICAS", "SENTINELS", "CKQUORUM")) {
                assertThat(client.text("SENTINEL", what, "other")).isEqualTo(NO_SUCH);
            }
            assertThat(client.text("SENTINEL", "MASTER")).startsWith("-ERR wrong number of arguments");
            assertThat(client.text("SENTINEL", "FAILOVER", "mymaster")).startsWith("-ERR unknown subcommand");
            assertThat(client.text("MULTI")).isEqualTo("OK");
            assertThat(client.text("SENTINEL", "MASTERS")).contains("is not supported inside MULTI");
        }
    }

    @Test
    void theOtherNodesAreTheOtherSentinels() {
        proxy.present(List.of(
                new PresentedNode("n1", new Endpoint("10.0.0.1", 6379)),
                new PresentedNode("n2", new Endpoint("10.0.0.2", 6379))));
        try (RawClient client = client()) {
            assertThat(client.text("SENTINEL", "SENTINELS", "mymaster"))
                    .startsWith("[[name, n2, ip, 10.0.0.2, port, 6379, runid, ")
                    .contains("flags, sentinel");
            assertThat(client.text("SENTINEL", "CKQUORUM", "mymaster")).startsWith("OK 2 usable Sentinels");
        }
    }

    @Test
    void inResp3WhatASentinelDescribesIsAMap() {
        try (RawClient client = client()) {
            client.text("HELLO", "3");
            assertThat(client.raw("SENTINEL", "MASTER", "mymaster"))
                    .startsWith("%14\r\n$4\r\nname\r\n$8\r\nmymaster\r\n");
            assertThat(client.raw("SENTINEL", "get-master-addr-by-name", "other"))
                    .isEqualTo("_\r\n");
        }
    }

    /** A sentinel has no password mostly, and its servers have one. */
    @Test
    void whoHasGivenNoPasswordIsToldToo() {
        server.call("CONFIG", "SET", "requirepass", "secret");
        try (RawClient client = client()) {
            assertThat(client.text("GET", "key")).startsWith("-NOAUTH");
            assertThat(client.text("SENTINEL", "get-master-addr-by-name", "mymaster"))
                    .isEqualTo("[" + address().host() + ", " + address().port() + "]");
            assertThat(client.text("CLIENT", "LIST")).startsWith("-NOAUTH");
        }
    }

    @Test
    void aPoolOfAnySentinelClientEndsUpHere() {
        String here = address().host() + ":" + address().port();
        try (JedisSentinelPool pool = new JedisSentinelPool("mymaster", Set.of(here));
                Jedis client = pool.getResource()) {
            assertThat(pool.getCurrentHostMaster()).isEqualTo(HostAndPort.from(here));
            assertThat(client.set("key", "value")).isEqualTo("OK");
        }
        assertThat(String.valueOf(server.call("GET", "key"))).contains("value");
    }
}
