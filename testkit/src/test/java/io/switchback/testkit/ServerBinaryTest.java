package io.switchback.testkit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.opentest4j.TestAbortedException;

class ServerBinaryTest {
    @TempDir
    Path folder;

    @Test
    void thereIsAlwaysOneServer() {
        assertThat(ServerBinary.embedded().name()).startsWith("redis-");
        assertThat(ServerBinary.embedded().version()).matches("\\d+\\.\\d+\\.\\d+");
        assertThat(ServerBinary.found())
                .extracting(ServerBinary::name)
                .contains(ServerBinary.embedded().name())
                .doesNotHaveDuplicates();
        assertThat(ServerBinary.found()).contains(ServerBinary.any());
    }

    @Test
    void aServerIsNamedAfterWhatItSaysOfItself() throws IOException {
        program("a/redis-server", "Redis server v=7.2.14 sha=00000000:0 malloc=libc bits=64");
        program("b/valkey-server", "Valkey server v=10.0.0-rc1 sha=00000000:0 malloc=libc bits=64");
        program("c/valkey-server", "Valkey server v=9.1.2 sha=00000000:0 malloc=libc bits=64");
        program("d/redis-server", "something else");
        program("e/redis-cli", "Redis server v=1.0.0");
        assertThat(ServerBinary.ordered(ServerBinary.inFolder(folder)))
                .extracting(ServerBinary::toString)
                .containsExactly("redis-7.2 (7.2.14)", "valkey-9.1 (9.1.2)", "valkey-10.0 (10.0.0-rc1)");
    }

    @Test
    void ofTwoThatSayTheSameTheFirstSourceWins() {
        ServerBinary first = new ServerBinary("redis-7.0", Path.of("/first"), "7.0.1");
        ServerBinary second = new ServerBinary("redis-7.0", Path.of("/second"), "7.0.2");
        assertThat(ServerBinary.ordered(List.of(first, second))).containsExactly(first);
    }

    @Test
    void aTestThatNeedsAMissingServerIsSkippedAndSaysHowToGetIt() {
        assertThatThrownBy(() -> Servers.require("redis-1.3"))
                .isInstanceOf(TestAbortedException.class)
                .hasMessageContaining("needs redis-1.3")
                .hasMessageContaining("scripts/fetch-servers redis-1.3");
        assertThat(Servers.require(ServerBinary.embedded().name()).name())
                .isEqualTo(ServerBinary.embedded().name());
    }

    @Test
    @RequiresServers({"redis-1.3"})
    void anAnnotatedTestDoesNotRunWithoutItsServers() {
        throw new AssertionError("there is no redis 1.3");
    }

    private void program(String path, String says) throws IOException {
        Path file = folder.resolve(path);
        Files.createDirectories(file.getParent());
        Files.writeString(file, "#!/bin/sh\necho '" + says + "'\n");
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
    }
}
