package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.netty.channel.epoll.Epoll;
import io.switchback.fleet.Endpoint;
import io.switchback.testkit.RealServer;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TransportTest {
    @AfterEach
    void asItWas() {
        System.clearProperty(Transport.PROPERTY);
    }

    @Test
    void epollIsTakenWhereItIsThereAndAnotherWhereItIsNamed() {
        assertThat(Transport.choose()).isEqualTo(Epoll.isAvailable() ? Transport.EPOLL : Transport.NIO);
        System.setProperty(Transport.PROPERTY, "nio");
        assertThat(Transport.choose()).isEqualTo(Transport.NIO);
        System.setProperty(Transport.PROPERTY, "kqueue");
        assertThatThrownBy(Transport::choose).hasMessageContaining("expected io_uring, epoll or nio");
    }

    @Test
    void theProxyServesOverJavasOwnSocketsToo(@TempDir Path folder) {
        System.setProperty(Transport.PROPERTY, "nio");
        try (RealServer server = ProxyFixture.server(folder);
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1));
                RawClient one = ProxyFixture.client(proxy);
                RawClient two = ProxyFixture.client(proxy)) {
            assertThat(one.text("SET", "k", "v")).isEqualTo("OK");
            assertThat(two.text("GET", "k")).isEqualTo("v");
            assertThat(ProxyFixture.hold(proxy, 2000)).isInstanceOf(HoldOutcome.Held.class);
        }
    }

    @Test
    void aServerThatIsNotThereIsSaidToRefuseInTheSameWordsOverBothTransports(@TempDir Path folder) {
        for (String transport : List.of("", "nio")) {
            System.setProperty(Transport.PROPERTY, transport);
            RealServer server = ProxyFixture.server(folder.resolve("of" + transport));
            BackendRoute route = ProxyFixture.route("old", server, 1);
            try (CacheProxy proxy = ProxyFixture.proxy(route);
                    RawClient client = ProxyFixture.client(proxy)) {
                server.close();
                assertThat(client.text("GET", "k"))
                        .isEqualTo("-ERR switchback: fleet old at "
                                + route.fleet().endpoint() + " cannot be reached: Connection refused");
            }
        }
    }

    @Test
    void anAddressThatIsTakenIsSaidToBeTaken(@TempDir Path folder) {
        try (RealServer server = ProxyFixture.server(folder);
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1))) {
            Endpoint taken = proxy.addresses().getFirst();
            ProxySettings same = new ProxySettings("other", "n2", List.of(taken));
            assertThatThrownBy(() -> CacheProxy.open(same, ProxyFixture.route("old", server, 1), false))
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("cache other cannot listen on " + taken);
        }
    }
}
