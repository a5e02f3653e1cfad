package io.switchback.sync;

import static io.switchback.sync.source.CopiedServer.fullCopies;
import static io.switchback.sync.source.CopiedServer.killReplicas;
import static io.switchback.sync.source.CopiedServer.replicas;
import static io.switchback.sync.source.CopiedServer.writeAndSeeThemSent;
import static io.switchback.sync.source.CopiedServer.writeMebibytes;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.sync.LinkStatus.Phase;
import io.switchback.sync.source.CopiedServer;
import io.switchback.sync.source.HeldCopies;
import io.switchback.testkit.Await;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Slow copies of a relay while clients write: where the source sends the snapshot over a connection of its own, and where it does not. */
class RelayCopyTest {
    private final HeldCopies copies = new HeldCopies();

    @TempDir
    Path folder;

    static List<ServerBinary> withTwoChannels() {
        return CopiedServer.withTwoChannels();
    }

    private Pair filled(ServerBinary binary, boolean twoChannels, String... more) {
        Pair servers = new Pair(binary, binary, folder, CopiedServer.options(binary, twoChannels, more));
        CopiedServer.fill(servers.a.server);
        return servers;
    }

    private RelayLink beginCopy(Pair servers, Pair.Heard heard) {
        RelayLink link = servers.open(
                "forward",
                servers.a,
                servers.b,
                new LinkStart.FullCopy(Optional.of(folder.resolve("backups"))),
                heard,
                0,
                copies,
                CopiedServer.SLOWLY);
        link.admit();
        servers.b.call("REPLICAOF", link.face().host(), "" + link.face().port());
        Await.until(
                Pair.LIMIT,
                "the snapshot passes",
                () -> link.status().phase() == Phase.COPYING && link.status().copiedBytes() > 0);
        return link;
    }

    private void assertEqual(Pair servers, RelayLink link) {
        copies.letGo();
        Pair.awaitPhase(link, Phase.STREAMING);
        writeMebibytes(servers.a.server, "after", 1);
        Pair.drain(link, servers.a);
        assertThat(servers.b.keys()).isEqualTo(servers.a.keys());
    }

    @ParameterizedTest
    @MethodSource("withTwoChannels")
    void whatIsWrittenDuringTheCopyIsNotHeldByASourceThatSendsBothAtOnce(ServerBinary binary) {
        try (Pair servers = filled(binary, true)) {
            Pair.Heard heard = new Pair.Heard();
            RelayLink link = beginCopy(servers, heard);
            writeAndSeeThemSent(servers.a.server, 6);
            assertThat(replicas(servers.a.server)).hasSize(2);
            assertThat(link.status().phase()).isEqualTo(Phase.COPYING);

            assertEqual(servers, link);
            assertThat(fullCopies(servers.a.server)).isEqualTo(1);
            assertThat(heard.backups).hasSize(1);
            Await.until(
                    Pair.LIMIT,
                    "the snapshot's connection is gone",
                    () -> replicas(servers.a.server).size() == 1);
        }
    }

    @ParameterizedTest
    @MethodSource("withTwoChannels")
    void aCopyOverTwoConnectionsThatIsCutOffBeginsAgain(ServerBinary binary) {
        try (Pair servers = filled(binary, true)) {
            Pair.Heard heard = new Pair.Heard();
            RelayLink link = beginCopy(servers, heard);
            writeMebibytes(servers.a.server, "during", 1);
            killReplicas(servers.a.server);
            copies.letGo();
            Await.until(Pair.LIMIT, "another copy has begun", () -> fullCopies(servers.a.server) > 1);

            assertEqual(servers, link);
            assertThat(heard.bases).hasSize(1);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"valkey-9.1", "redis-8.0"})
    void aSourceThatHoldsMoreThanItMayCutsTheCopyOffAndTheLinkSaysWhatToDo(String name) {
        ServerBinary binary = ServerBinary.named(name).orElseGet(ServerBinary::any);
        try (Pair servers = filled(
                binary, false, "--client-output-buffer-limit", "replica 4mb 0 0", "--repl-backlog-size", "1mb")) {
            RelayLink link = beginCopy(servers, new Pair.Heard());
            assertThat(replicas(servers.a.server)).hasSize(1);
            writeMebibytes(servers.a.server, "during", 6);
            copies.letGo();
            Await.until(
                    Pair.LIMIT,
                    "the link says why",
                    () -> link.status().detail().contains("client-output-buffer-limit replica"));
            servers.a.call("CONFIG", "SET", "client-output-buffer-limit", "replica 0 0 0");
            assertEqual(servers, link);
        }
    }

    @Test
    void theLinkSaysHowFastItCopiesAndHowMuchThereIsAtMost() {
        try (Pair servers = filled(ServerBinary.any(), false)) {
            RelayLink link = beginCopy(servers, new Pair.Heard());
            LinkStatus.Speed speed = link.status().copySpeed();
            assertThat(speed.bytesPerSecondMax()).isEqualTo(CopiedServer.SLOWLY_BYTES_PER_SECOND);
            assertThat(speed.bytesPerSecond()).isPositive();

            copies.letGo();
            Pair.awaitPhase(link, Phase.STREAMING);
            assertThat(link.status().copiedBytes()).isLessThan(speed.bytesAtMost());
            assertThat(link.status().copySpeed()).isEqualTo(LinkStatus.Speed.NONE);
        }
    }
}
