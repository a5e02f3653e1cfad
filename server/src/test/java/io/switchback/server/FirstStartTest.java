package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.release.Order;
import io.switchback.release.ReleaseState.Status;
import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A node whose ledger was lost does not send clients where its file says, if that was true only before a release. */
final class FirstStartTest {
    private static final String RELEASE = "r";

    @TempDir
    private Path folder;

    private void loseLedger(TwoFleets fleets) throws IOException {
        fleets.stopNode();
        Files.move(folder.resolve("data"), folder.resolve("data.away"));
    }

    private void findLedger() throws IOException {
        try (var lost = Files.walk(folder.resolve("data"))) {
            for (Path file : lost.sorted(java.util.Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
        Files.move(folder.resolve("data.away"), folder.resolve("data"));
    }

    @Test
    void aFleetThatAReleaseHasLeftIsNotServedFromAnEmptyLedger() throws IOException {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            fleets.begin(TwoFleets.release(RELEASE, ""));
            fleets.awaitObserving(RELEASE);

            loseLedger(fleets);
            assertThatThrownBy(fleets::startNode)
                    .isInstanceOf(NodeException.class)
                    .hasMessageContaining("fleet blue")
                    .hasMessageContaining("release is under way")
                    .hasMessageContaining("give the node its ledger back");

            findLedger();
            fleets.startNode();
            fleets.awaitObserving(RELEASE);
            fleets.order(RELEASE, Order.Kind.FINISH);
            fleets.awaitStatus(RELEASE, Status.FINISHED);
            loseLedger(fleets);
            assertThatThrownBy(fleets::startNode)
                    .isInstanceOf(NodeException.class)
                    .hasMessageContaining("release r has moved the clients of cache sessions to fleet green")
                    .hasMessageContaining("switchback:reserved:left");

            fleets.blue.call("DEL", "switchback:reserved:left");
            fleets.blue.call("REPLICAOF", fleets.green.host(), Integer.toString(fleets.green.port()));
            assertThatThrownBy(fleets::startNode)
                    .isInstanceOf(NodeException.class)
                    .hasMessageContaining("is a replica of");

            fleets.blue.call("REPLICAOF", "NO", "ONE");
            fleets.startNode();
            assertThat(fleets.node().releases().status(RELEASE)).isEmpty();
        }
    }
}
