package io.switchback.bench;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Where new objects of a Java process go, as {@code jstat -gc} tells of it.
 *
 * @param collections how often it was full so far
 * @param edenBytes what it takes to fill it
 */
record YoungGeneration(long collections, double edenBytes) {
    private static final int EDEN_KIB = 4;
    private static final int COLLECTIONS = 12;

    static YoungGeneration of(long processId) {
        try {
            Path java = Files.readSymbolicLink(Path.of("/proc", Long.toString(processId), "exe"));
            Process tool = new ProcessBuilder(java.resolveSibling("jstat").toString(), "-gc", Long.toString(processId))
                    .redirectError(ProcessBuilder.Redirect.INHERIT)
                    .start();
            String answer = new String(tool.getInputStream().readAllBytes(), US_ASCII);
            String[] columns = answer.strip().lines().toList().getLast().strip().split(" +", -1);
            return new YoungGeneration(
                    Math.round(Double.parseDouble(columns[COLLECTIONS])), Double.parseDouble(columns[EDEN_KIB]) * 1024);
        } catch (IOException e) {
            throw new UncheckedIOException("jstat tells nothing of process " + processId, e);
        }
    }
}
