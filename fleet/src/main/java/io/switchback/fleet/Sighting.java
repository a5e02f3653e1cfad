package io.switchback.fleet;

import java.util.List;
import java.util.Optional;

/**
 * What one look at a fleet has shown.
 *
 * @param topology where its servers are; empty where nobody trustworthy says so
 * @param problems what is wrong with it, each a sentence for a person; a topology that is there is right all the same
 */
public record Sighting(Optional<Topology> topology, List<String> problems) {
    public Sighting {
        problems = List.copyOf(problems);
    }
}
