package io.switchback.bench;

import com.fasterxml.jackson.databind.JsonNode;
import io.switchback.cli.admin.AdminClient;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;

/**
 * A release that is sent forward and back by the admin API of the node that leads it; nothing but orders makes it move. For one
 * thread.
 */
final class DrivenRelease {
    /** Seldom, since the node shares its processors with everything else here. */
    private static final Duration POLL = Duration.ofMillis(200);

    private static final Duration STEP_LIMIT = Duration.ofMinutes(2);

    private final AdminClient leader;
    private final String text;
    private int known;

    /**
     * Nothing happens before the first {@link #forward}.
     *
     * @param holdLimit as a release file says it
     */
    DrivenRelease(AdminClient leader, String cache, String holdLimit) {
        this.leader = leader;
        this.text = """
                release: bench
                moves:
                  - { cache: %s, to: green }
                hold: { limit: %s }
                gates:
                  art: { max-ratio: 1000 }
                  p99: { max-ratio: 1000 }
                  errors: { max-rate: 100%% }
                  lag: { max: 10s }
                observe: 24h
                """.formatted(cache, holdLimit);
    }

    /**
     * Moves all traffic to the new fleet; returns once the way back is open.
     *
     * @return the switches that were tried, as the release's status shows them: the last one did it
     */
    List<JsonNode> forward() {
        if (known == 0) {
            post("", text);
        } else {
            post("/bench/resume", "");
        }
        return moved(
                "NEW",
                release ->
                        release.path("caches").path(0).path("wayBack").asText().equals("OPEN"));
    }

    /** Moves all traffic to the old fleet, as {@link #forward} to the new one; returns once the new fleet follows. */
    List<JsonNode> back() {
        post("/bench/rollback", "");
        return moved(
                "OLD",
                release -> release.path("status").asText().equals("ROLLED_BACK")
                        && release.path("caches").path(0).path("link").asText().equals("streaming"));
    }

    private List<JsonNode> moved(String side, Predicate<JsonNode> settled) {
        long giveUpAt = System.nanoTime() + STEP_LIMIT.toNanos();
        JsonNode release = status();
        while (!(release.path("side").asText().equals(side) && settled.test(release))) {
            if (System.nanoTime() - giveUpAt > 0) {
                throw new IllegalStateException("not reached: " + release.toPrettyString());
            }
            Pause.of(POLL);
            release = status();
        }
        List<JsonNode> tried = new ArrayList<>();
        release.path("switches").forEach(tried::add);
        if (tried.size() <= known) {
            throw new IllegalStateException(
                    "the release was taken over, and its new leader does not know of: " + known + " switches");
        }
        List<JsonNode> fresh = List.copyOf(tried.subList(known, tried.size()));
        known = tried.size();
        return fresh;
    }

    private JsonNode status() {
        return leader.read("/v1/releases/bench");
    }

    private void post(String path, String body) {
        leader.post("/v1/releases" + path, AdminClient.bytes(body));
    }
}
