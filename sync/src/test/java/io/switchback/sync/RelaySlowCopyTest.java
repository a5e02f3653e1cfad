package io.switchback.sync;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.sync.LinkStatus.Phase;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A side that takes longer than the other's patience is not taken for dead: it is heard of through the link. */
class RelaySlowCopyTest {
    private static final String PATIENCE_SECONDS = "2";
    private static final int KEYS = 10;
    private static final String DELAY_OF_A_KEY_MICROS = "500000";

    /** A server that loads looks up from it every 2 MiB. */
    private static final String KEY_BYTES = "2200000";

    @TempDir
    Path folder;

    private Pair filled(String diskless) {
        Pair servers = new Pair(
                ServerBinary.embedded(),
                ServerBinary.embedded(),
                folder,
                "--repl-diskless-sync",
                diskless,
                "--rdbcompression",
                "no");
        for (int i = 0; i < KEYS; i++) {
            servers.a.call("SETRANGE", "key" + i, KEY_BYTES, "x");
        }
        return servers;
    }

    private static void assertCopiedAtOnce(Pair servers) {
        RelayLink link = servers.open(
                "forward", servers.a, servers.b, new LinkStart.FullCopy(Optional.empty()), new Pair.Heard(), 0);
        link.admit();
        servers.b.call("REPLICAOF", link.face().host(), "" + link.face().port());
        Pair.awaitPhase(link, Phase.STREAMING);
        assertThat(servers.a.fullSyncs()).isEqualTo(1);
        assertThat(servers.b.keys()).isEqualTo(servers.a.keys());
    }

    @Test
    void theTargetWaitsWhileTheSourceGathersReplicas() {
        try (Pair servers = filled("yes")) {
            servers.a.call("CONFIG", "SET", "repl-diskless-sync-delay", "5");
            servers.b.call("CONFIG", "SET", "repl-timeout", PATIENCE_SECONDS);
            assertCopiedAtOnce(servers);
        }
    }

    @Test
    void theTargetWaitsWhileTheSourceWritesItsSnapshot() {
        try (Pair servers = filled("no")) {
            servers.a.call("CONFIG", "SET", "rdb-key-save-delay", DELAY_OF_A_KEY_MICROS);
            servers.b.call("CONFIG", "SET", "repl-timeout", PATIENCE_SECONDS);
            assertCopiedAtOnce(servers);
        }
    }

    @Test
    void theSourceWaitsWhileTheTargetLoadsTheSnapshot() {
        try (Pair servers = filled("no")) {
            servers.b.call("CONFIG", "SET", "key-load-delay", DELAY_OF_A_KEY_MICROS);
            servers.a.call("CONFIG", "SET", "repl-timeout", PATIENCE_SECONDS);
            assertCopiedAtOnce(servers);
        }
    }
}
