package io.switchback.architecture;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** The text files of a checkout by path, without what is built or belongs to tools. */
final class TextFiles {
    private static final Set<String> NOT_OURS = Set.of(".git", "target", ".idea", ".vscode", "data");
    private static final long SIZE_MAX_BYTES = 4_000_000;

    private TextFiles() {}

    static Map<Path, String> below(Path folder) {
        Map<Path, String> texts = new TreeMap<>();
        try {
            Files.walkFileTree(folder, new SimpleFileVisitor<>() {
                @Override
                public FileVisitResult preVisitDirectory(Path directory, BasicFileAttributes attributes) {
                    Path name = directory.getFileName();
                    return name != null && NOT_OURS.contains(name.toString())
                            ? FileVisitResult.SKIP_SUBTREE
                            : FileVisitResult.CONTINUE;
                }

                @Override
                public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                    if (attributes.isRegularFile()
                            && attributes.size() <= SIZE_MAX_BYTES
                            && !file.toString().endsWith(".log")) {
                        try {
                            texts.put(
                                    file,
                                    StandardCharsets.UTF_8
                                            .newDecoder()
                                            .decode(ByteBuffer.wrap(Files.readAllBytes(file)))
                                            .toString());
                        } catch (CharacterCodingException e) {
                            // A binary file holds no words.
                        }
                    }
                    return FileVisitResult.CONTINUE;
                }
            });
        } catch (IOException e) {
            throw new UncheckedIOException("The checkout cannot be read", e);
        }
        return texts;
    }
}
