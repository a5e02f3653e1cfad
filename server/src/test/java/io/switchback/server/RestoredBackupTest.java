package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.sync.Backup;
import io.switchback.sync.BackupManifest;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/** The backup of a release, used: a server of the old fleet's version is started with it. */
final class RestoredBackupTest {
    private static final String RELEASE = "r";
    private static final int KEYS = 500;

    @TempDir
    private Path folder;

    @Test
    void theBackupOfAReleaseIsWhatItsManifestSaysAndAServerStartsWithIt() throws Exception {
        ServerBinary old = ServerBinary.any();
        Path backup;
        try (TwoFleets fleets = TwoFleets.start(old, old, folder)) {
            fleets.startNode();
            try (Jedis client = fleets.client()) {
                for (int i = 0; i < KEYS; i++) {
                    client.set("key:" + i, "value:" + i);
                }
                client.rpush("list", "a", "b");
                client.hset("hash", "field", "1");
                client.setex("mortal", 1_000, "soon");
                client.select(3);
                client.set("elsewhere", "3");
                fleets.begin(TwoFleets.release(RELEASE, ""));
                fleets.awaitObserving(RELEASE);
                client.set("later", "is not in it");
            }
            backup = Path.of(Objects.requireNonNull(
                    fleets.status(RELEASE).caches().getFirst().backup()));
        }
        BackupManifest manifest = Backup.check(backup);
        assertThat(manifest.sha256()).isEqualTo(sha256(backup));
        assertThat(manifest.bytes()).isEqualTo(Files.size(backup));
        assertThat(manifest.serverVersion()).contains(old.version());

        Path restored = Files.createDirectory(folder.resolve("restored"));
        Files.copy(backup, restored.resolve("dump.rdb"));
        try (RealServer server = RealServer.start(old, restored);
                Jedis direct = server.client()) {
            for (int i = 0; i < KEYS; i++) {
                assertThat(direct.get("key:" + i)).isEqualTo("value:" + i);
            }
            assertThat(direct.lrange("list", 0, -1)).containsExactly("a", "b");
            assertThat(direct.hget("hash", "field")).isEqualTo("1");
            assertThat(direct.ttl("mortal")).isBetween(1L, 1_000L);
            assertThat(direct.dbSize()).as("and nothing of Switchback's own").isEqualTo(KEYS + 3L);
            direct.select(3);
            assertThat(direct.keys("*")).containsExactly("elsewhere");
        }
    }

    private static String sha256(Path file) throws IOException, NoSuchAlgorithmException {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(file)));
    }
}
