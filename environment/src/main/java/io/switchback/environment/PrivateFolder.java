package io.switchback.environment;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;

/** Folders that nobody but their owner may enter: what lies in them is passwords and data. */
public final class PrivateFolder {
    private PrivateFolder() {}

    /** Creates the folder and those above it that are not there. One that is there keeps its rights. */
    public static Path create(Path folder) throws IOException {
        return Files.createDirectories(
                folder, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    }
}
