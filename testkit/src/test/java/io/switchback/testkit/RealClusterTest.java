package io.switchback.testkit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import redis.clients.jedis.JedisCluster;
import redis.clients.jedis.exceptions.JedisAskDataException;
import redis.clients.jedis.exceptions.JedisMovedDataException;

class RealClusterTest {
    @TempDir
    Path folder;

    static List<ServerBinary> everyServer() {
        List<ServerBinary> matrix = ServerBinary.matrix();
        return matrix.isEmpty() ? List.of(ServerBinary.any()) : matrix;
    }

    @ParameterizedTest
    @MethodSource("everyServer")
    void aClusterOfEveryVersionServesItsClientsWhileASlotMovesAndAPrimaryDies(ServerBinary binary) {
        try (RealCluster cluster = RealCluster.start(binary, folder, 3, 1)) {
            RealServer first = cluster.nodes().get(0);
            RealServer second = cluster.nodes().get(1);
            String key = cluster.keyOn(first, "key-");
            int slot = RealCluster.slotOf(key);
            assertThat(cluster.primaryOf(slot)).isSameAs(first);
            assertThat(cluster.replicasOf(first))
                    .containsExactly(cluster.nodes().get(3));
            first.call("SET", key, "value");

            cluster.beginMove(slot, second);
            assertThat(first.text("GET", key)).isEqualTo("value");
            assertThat(cluster.moveKeys(slot, second, Integer.MAX_VALUE)).isEqualTo(1);
            assertThatThrownBy(() -> first.call("GET", key)).isInstanceOf(JedisAskDataException.class);
            cluster.finishMove(slot, first, second);
            assertThatThrownBy(() -> first.call("GET", key)).isInstanceOf(JedisMovedDataException.class);
            assertThat(second.text("GET", key)).isEqualTo("value");
            cluster.moveSlot(slot, first);
            assertThat(first.text("GET", key)).isEqualTo("value");

            RealServer replica = cluster.replicasOf(first).getFirst();
            cluster.failover(replica);
            assertThat(cluster.primaryOf(slot)).isSameAs(replica);
            assertThat(cluster.replicasOf(replica)).containsExactly(first);

            replica.kill();
            assertThat(cluster.awaitSuccessor(slot, replica)).isSameAs(first);
            try (JedisCluster client = new JedisCluster(new HashSet<>(cluster.endpoints()))) {
                assertThat(client.get(key)).isEqualTo("value");
            }
        }
    }

    @Test
    void aClusterGrowsByAPrimaryAndAReplicaAndEndsWithAllItsProcesses() {
        List<RealServer> nodes;
        try (RealCluster cluster = RealCluster.start(ServerBinary.any(), folder, 1, 0, "--requirepass", "secret")) {
            RealServer only = cluster.nodes().getFirst();
            String key = cluster.keyOn(only, "key-");
            only.call("SET", key, "value");
            RealServer added = cluster.addPrimary();
            cluster.moveSlot(RealCluster.slotOf(key), added);
            assertThat(added.text("GET", key)).isEqualTo("value");
            nodes = cluster.nodes();
            assertThat(nodes).hasSize(2);
        }
        assertThat(nodes).noneMatch(node -> node.process().isAlive());
    }
}
