package io.switchback.sync;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.environment.Environment;
import io.switchback.sync.LinkStatus.Phase;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The snapshot that passes through is a backup, or there is no copy. */
class BackupTest {
    @TempDir
    Path folder;

    static Stream<ServerBinary> servers() {
        return ServerBinary.found().stream();
    }

    @Test
    void theChecksumIsTheOneThatServersUse() {
        byte[] bytes = "123456789".getBytes(US_ASCII);
        assertThat(Long.toHexString(Crc64.update(0, bytes, 0, 9))).isEqualTo("e9c6d914c4b8d9ca");
        for (int split = 0; split <= 9; split++) {
            long first = Crc64.update(0, bytes, 0, split);
            assertThat(Crc64.update(first, bytes, split, 9 - split)).isEqualTo(0xe9c6d914c4b8d9caL);
        }
    }

    private Pair filled(ServerBinary binary, String diskless) {
        return filled(binary, folder, diskless);
    }

    private static Pair filled(ServerBinary binary, Path folder, String diskless) {
        Pair servers = new Pair(binary, binary, folder, "--repl-diskless-sync", diskless);
        for (int i = 0; i < 300; i++) {
            servers.a.call("SET", "key" + i, "value " + i);
        }
        servers.a.call("SET", "large", "x".repeat(3_000_000));
        servers.a.call("RPUSH", "list", "a", "b");
        servers.a.call("XADD", "stream", "1-1", "field", "value");
        servers.a.call("XGROUP", "CREATE", "stream", "group", "0");
        servers.a.call("XREADGROUP", "GROUP", "group", "me", "STREAMS", "stream", ">");
        return servers;
    }

    @ParameterizedTest
    @MethodSource("servers")
    void aServerOfTheSameVersionStartsWithTheBackupAndHasTheSameKeys(ServerBinary binary) throws Exception {
        for (String diskless : List.of("yes", "no")) {
            Path backups = folder.resolve("backups-" + diskless);
            Pair.Heard heard = new Pair.Heard();
            try (Pair servers = filled(binary, diskless)) {
                RelayLink link = servers.copied("forward", servers.a, servers.b, heard, Optional.of(backups));
                BackupManifest manifest = heard.backups.getFirst();
                assertThat(manifest.bytes()).isEqualTo(Files.size(manifest.file()));
                assertThat(manifest.replicationId()).isEqualTo(servers.a.state().id());
                assertThat(manifest.serverVersion()).contains(binary.version().substring(0, 3));
                assertThat(link.status().copiedBytes()).isEqualTo(manifest.bytes());
                assertThat(Backup.check(manifest.file())).isEqualTo(manifest);
                assertThat(servers.b.keys()).isEqualTo(servers.a.keys());
                Path home = Files.createDirectories(folder.resolve("restored-" + diskless));
                Files.copy(manifest.file(), home.resolve("dump.rdb"), StandardCopyOption.REPLACE_EXISTING);
                try (Pair.Side restored = new Pair.Side(RealServer.start(binary, home), Optional.empty())) {
                    assertThat(restored.keys()).isEqualTo(servers.a.keys());
                }
            }
            try (Stream<Path> files = Files.list(backups)) {
                assertThat(files.map(Path::toString)).noneMatch(name -> name.endsWith(".part"));
            }
        }
    }

    @Test
    void aBackupThatWasDamagedIsRecognisedAtAnyByte() throws Exception {
        Pair.Heard heard = new Pair.Heard();
        try (Pair servers = new Pair(ServerBinary.embedded(), ServerBinary.embedded(), folder)) {
            servers.a.call("SET", "key", "value");
            servers.copied("forward", servers.a, servers.b, heard, Optional.of(folder.resolve("backups")));
        }
        Path file = heard.backups.getFirst().file();
        byte[] good = Files.readAllBytes(file);
        for (int i = 0; i < good.length; i++) {
            byte[] bad = good.clone();
            bad[i] ^= 0x10;
            Files.write(file, bad);
            assertThatThrownBy(() -> Backup.check(file)).isInstanceOf(IOException.class);
        }
        Files.write(file, good);
        assertThat(Backup.check(file)).isEqualTo(heard.backups.getFirst());
    }

    @Test
    void aDiskThatFillsUpBreaksTheCopyOffAndTheTargetDoesNotTakeItForWhole() throws Exception {
        Path backups = Files.createDirectories(folder.resolve("backups"));
        try (Pair servers = filled(ServerBinary.embedded(), "no")) {
            Path full = Path.of("/dev/full");
            Assumptions.assumeTrue(Files.exists(full), "needs /dev/full");
            // Whatever the offset, the file that the link will write lies on a full disk.
            for (int offset = 0; offset < 200; offset++) {
                Files.createSymbolicLink(backups.resolve("dump-20261122-050000-" + offset + ".rdb.part"), full);
            }
            Pair.Heard heard = new Pair.Heard();
            RelayLink link = servers.open(
                    "forward",
                    servers.a,
                    servers.b,
                    new LinkStart.FullCopy(Optional.of(backups)),
                    heard,
                    0,
                    new AtFive());
            link.admit();
            servers.b.call("SET", "old", "data");
            servers.b.call("REPLICAOF", link.face().host(), "" + link.face().port());

            heard.awaitBroken();

            assertThat(heard.breaks.getFirst()).contains("backup").contains("No space left");
            assertThat(heard.bases).isEmpty();
            assertThat(heard.backups).isEmpty();
            assertThat(link.status().phase()).isEqualTo(Phase.BROKEN);
            assertThat(servers.b.state().linkUp()).isFalse();
            assertThat(servers.a.call("GET", "key1")).isEqualTo("value 1");
        }
        try (Stream<Path> files = Files.list(backups)) {
            assertThat(files.filter(file -> !Files.isSymbolicLink(file))).isEmpty();
        }
    }

    @Test
    void aSnapshotThatIsDamagedOnItsWayBreaksTheCopyOffAndTheTargetKeepsItsData() throws Exception {
        Path backups = folder.resolve("backups");
        for (String diskless : List.of("yes", "no")) {
            try (Pair servers = filled(ServerBinary.embedded(), folder.resolve(diskless), diskless);
                    WatchedWire wire = WatchedWire.damaging(servers.a.fleet.endpoint(), "intact")) {
                servers.a.call("SET", "damaged", "intact");
                servers.b.call("SET", "old", "data");
                Pair.Heard heard = new Pair.Heard();
                Pair.Side damaged = servers.a.behind(wire.endpoint());
                RelayLink link = servers.open(
                        "forward", damaged, servers.b, new LinkStart.FullCopy(Optional.of(backups)), heard, 0);
                link.admit();
                servers.b.call("REPLICAOF", link.face().host(), "" + link.face().port());

                heard.awaitBroken();

                assertThat(heard.breaks.getFirst()).contains("checksum");
                assertThat(heard.bases).isEmpty();
                assertThat(heard.backups).isEmpty();
                assertThat(servers.b.call("GET", "old")).isEqualTo("data");
                try (Stream<Path> files = Files.list(backups)) {
                    assertThat(files).isEmpty();
                }
            }
        }
    }

    /** The machine's own, but for a wall clock that stands still: the name of the backup can be told beforehand. */
    private static final class AtFive implements Environment {
        @Override
        public long nanoTime() {
            return Pair.ENVIRONMENT.nanoTime();
        }

        @Override
        public Instant now() {
            return Instant.parse("2026-11-22T05:00:00Z");
        }

        @Override
        public void sleep(Duration duration) throws InterruptedException {
            Pair.ENVIRONMENT.sleep(duration);
        }

        @Override
        public byte[] randomBytes(int count) {
            return Pair.ENVIRONMENT.randomBytes(count);
        }
    }

    @Test
    void aFolderThatCannotBeWrittenIsNamedBeforeTheTargetLosesAnything() throws Exception {
        Path notAFolder = Files.writeString(folder.resolve("file"), "");
        try (Pair servers = filled(ServerBinary.embedded(), "no")) {
            Pair.Heard heard = new Pair.Heard();
            RelayLink link = servers.open(
                    "forward", servers.a, servers.b, new LinkStart.FullCopy(Optional.of(notAFolder)), heard, 0);
            link.admit();
            servers.b.call("SET", "old", "data");
            servers.b.call("REPLICAOF", link.face().host(), "" + link.face().port());
            heard.awaitBroken();
            assertThat(heard.breaks.getFirst()).contains(notAFolder.toString());
            assertThat(servers.b.call("GET", "old")).isEqualTo("data");
        }
    }
}
