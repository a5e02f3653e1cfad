package io.switchback.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Comparator;
import java.util.Map;
import java.util.stream.Stream;

/** What campaigns of faults write and remove: a line of JSON for each round, and the folders of their processes. Stateless. */
public final class CampaignFiles {
    private static final ObjectMapper JSON = new ObjectMapper();

    private CampaignFiles() {}

    /** The seed that comes next in a campaign: one more than the greatest in its file, and 1 where there is none. */
    public static long nextSeed(Path campaign) throws IOException {
        long seed = 1;
        if (!campaign.toString().isEmpty() && Files.exists(campaign)) {
            for (String line : Files.readAllLines(campaign)) {
                seed = Math.max(seed, JSON.readTree(line).path("seed").asLong() + 1);
            }
        }
        return seed;
    }

    /** Adds a round to a campaign's file, which is made where it is not there. */
    public static void append(Path campaign, Map<String, Object> round) throws IOException {
        Files.writeString(
                campaign, JSON.writeValueAsString(round) + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }

    /** Deletes a folder with all that is in it, some of which may go by itself meanwhile. */
    public static void delete(Path folder) throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(file);
            }
        }
    }
}
