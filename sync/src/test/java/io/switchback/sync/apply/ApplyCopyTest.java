package io.switchback.sync.apply;

import static io.switchback.sync.apply.Links.LIMIT;
import static io.switchback.sync.apply.Links.drain;
import static io.switchback.sync.apply.Links.equal;
import static io.switchback.sync.apply.Links.spec;
import static io.switchback.sync.apply.Links.streams;
import static io.switchback.sync.source.CopiedServer.fullCopies;
import static io.switchback.sync.source.CopiedServer.killReplicas;
import static io.switchback.sync.source.CopiedServer.replicas;
import static io.switchback.sync.source.CopiedServer.writeAndSeeThemSent;
import static io.switchback.sync.source.CopiedServer.writeMebibytes;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.Token;
import io.switchback.sync.LinkStart;
import io.switchback.sync.LinkStatus.Phase;
import io.switchback.sync.source.CopiedServer;
import io.switchback.sync.source.HeldCopies;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Slow copies of an apply link while clients write: where the source sends the snapshot over a connection of its own, and where it does not. */
class ApplyCopyTest {
    private final HeldCopies copies = new HeldCopies();

    @TempDir
    Path folder;

    static List<ServerBinary> withTwoChannels() {
        return CopiedServer.withTwoChannels();
    }

    private RealServer filled(ServerBinary binary, boolean twoChannels, String... more) {
        RealServer source =
                RealServer.start(binary, folder.resolve("source"), CopiedServer.options(binary, twoChannels, more));
        CopiedServer.fill(source);
        return source;
    }

    private RealServer target() {
        return RealServer.start(ServerBinary.any(), folder.resolve("target"));
    }

    private ApplyLink beginCopy(RealServer source, RealServer target, Heard heard) {
        ApplyLink link = ApplyLink.open(
                new ApplySettings(
                        "link",
                        "secret",
                        Token.open(1, "owner"),
                        spec("source", source),
                        spec("target", target),
                        new LinkStart.FullCopy(Optional.of(folder.resolve("backup"))),
                        Optional.empty(),
                        CopiedServer.SLOWLY),
                copies,
                heard);
        Await.until(
                LIMIT,
                "the snapshot passes",
                () -> link.status().phase() == Phase.COPYING && link.status().copiedBytes() > 0);
        return link;
    }

    private void assertEqual(RealServer source, RealServer target, ApplyLink link) {
        copies.letGo();
        streams(link);
        writeMebibytes(source, "after", 1);
        drain(source, link);
        equal(List.of(source), List.of(target), false);
    }

    @ParameterizedTest
    @MethodSource("withTwoChannels")
    void whatIsWrittenDuringTheCopyIsNotHeldByASourceThatSendsBothAtOnce(ServerBinary binary) {
        Heard heard = new Heard();
        try (RealServer source = filled(binary, true);
                RealServer target = target();
                ApplyLink link = beginCopy(source, target, heard)) {
            writeAndSeeThemSent(source, 6);
            assertThat(replicas(source)).hasSize(2);
            assertThat(link.status().phase()).isEqualTo(Phase.COPYING);

            assertEqual(source, target, link);
            assertThat(fullCopies(source)).isEqualTo(1);
            assertThat(heard.backup).isNotNull();
            Await.until(
                    LIMIT,
                    "the snapshot's connection is gone",
                    () -> replicas(source).size() == 1);
        }
    }

    @Test
    void aCopyOverTwoConnectionsThatIsCutOffBeginsAgain() {
        ServerBinary binary = ServerBinary.named("valkey-9.1").orElseGet(ServerBinary::any);
        try (RealServer source = filled(binary, true);
                RealServer target = target();
                ApplyLink link = beginCopy(source, target, new Heard())) {
            writeMebibytes(source, "during", 1);
            killReplicas(source);
            copies.again();

            assertEqual(source, target, link);
            assertThat(fullCopies(source)).isEqualTo(2);
        }
    }

    @Test
    void aSourceThatHoldsMoreThanItMayCutsTheCopyOffAndTheLinkSaysWhatToDo() {
        ServerBinary binary = ServerBinary.named("valkey-9.1").orElseGet(ServerBinary::any);
        try (RealServer source = filled(
                        binary,
                        false,
                        "--client-output-buffer-limit",
                        "replica 4mb 0 0",
                        "--repl-backlog-size",
                        "1mb");
                RealServer target = target();
                ApplyLink link = beginCopy(source, target, new Heard())) {
            assertThat(replicas(source)).hasSize(1);
            writeMebibytes(source, "during", 6);
            copies.letGo();
            Await.until(
                    LIMIT,
                    "the link says why",
                    () -> link.status().detail().contains("client-output-buffer-limit replica"));
            source.call("CONFIG", "SET", "client-output-buffer-limit", "replica 0 0 0");
            copies.again();

            assertEqual(source, target, link);
        }
    }
}
