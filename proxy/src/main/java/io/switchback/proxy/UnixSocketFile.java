package io.switchback.proxy;

import java.io.IOException;
import java.net.ConnectException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermission;
import java.util.Optional;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The file that a Unix socket is: it outlasts a process that was killed, and then stands in the way of the next one. */
final class UnixSocketFile {
    private static final Logger LOG = LoggerFactory.getLogger(UnixSocketFile.class);

    private UnixSocketFile() {}

    /** Deletes the socket of a process that is gone; why the path cannot be used, where it is something else. */
    static Optional<String> clear(Path path) throws IOException {
        BasicFileAttributes found;
        try {
            found = Files.readAttributes(path, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
        } catch (NoSuchFileException e) {
            return Optional.empty();
        }
        if (!found.isOther()) {
            return Optional.of("there is a file which is no socket; name another path, or move it away");
        }
        try (SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX)) {
            channel.configureBlocking(false); // a full queue of connections would be waited for
            channel.connect(UnixDomainSocketAddress.of(path));
            return Optional.of("another process listens there");
        } catch (ConnectException e) {
            Files.deleteIfExists(path); // nobody listens
            return Optional.empty();
        } catch (IOException e) {
            return Optional.of("there is something which cannot be looked at (" + e.getMessage()
                    + "); if no process uses it, delete it");
        }
    }

    static void restrict(Path path, Set<PosixFilePermission> mode) throws IOException {
        Files.setPosixFilePermissions(path, mode);
    }

    static void delete(Path path) {
        try {
            Files.deleteIfExists(path);
        } catch (IOException e) {
            LOG.warn("the socket {} stays: {}", path, e.getMessage());
        }
    }
}
