package io.switchback.sync.apply;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerVersion;
import io.switchback.resp.Reply;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** The slots of a cluster that are on their way from one shard to another, as its primaries say. Blocking; without state. */
final class MovingSlots {
    private static final Duration ANSWER_MAX = Duration.ofSeconds(5);
    /** Valkey 9 moves whole slots by a replication of its own, of which CLUSTER NODES says nothing. */
    private static final int WHOLE_SLOTS_SINCE = 9;

    private static final int NAMED_MAX = 5;

    private MovingSlots() {}

    /** As {@link ApplyLink#slotsMoving}. */
    static Optional<String> of(FleetSpec fleet) {
        if (!(fleet.address() instanceof FleetAddress.Cluster)) {
            return Optional.empty();
        }
        List<String> moves = new ArrayList<>();
        for (Endpoint primary : fleet.topologyNow().primaries()) {
            try (ServerConnection server =
                    ServerConnection.open(primary, fleet.credential(), fleet.tls(), ANSWER_MAX)) {
                moves.addAll(singly(server));
                moves.addAll(whole(server));
            }
        }
        if (moves.isEmpty()) {
            return Optional.empty();
        }
        int others = moves.size() - NAMED_MAX;
        return Optional.of("slots of " + fleet.name() + " are being moved: "
                + String.join(", ", moves.subList(0, Math.min(NAMED_MAX, moves.size())))
                + (others > 0 ? " and " + others + " more" : ""));
    }

    /** Key by key: {@code [slot->-node]} at the one that has it, {@code [slot-<-node]} at the one that gets it, in its own line alone. */
    private static List<String> singly(ServerConnection server) {
        List<String> moves = new ArrayList<>();
        String text = server.demand("CLUSTER", "NODES").text();
        for (String line : text.lines().filter(one -> one.contains("myself")).toList()) {
            for (String word : line.split(" ", -1)) {
                if (word.startsWith("[")) {
                    int end = word.indexOf('-');
                    boolean away = word.contains("->-");
                    moves.add("slot " + word.substring(1, Math.max(1, end)) + (away ? " away from " : " to ")
                            + server.endpoint());
                }
            }
        }
        return moves;
    }

    private static List<String> whole(ServerConnection server) {
        ServerVersion version = ServerVersion.read(server);
        if (version.product() != ServerVersion.Product.VALKEY || !version.isAtLeast(WHOLE_SLOTS_SINCE, 0)) {
            return List.of();
        }
        List<String> moves = new ArrayList<>();
        if (server.demand("CLUSTER", "GETSLOTMIGRATIONS") instanceof Reply.Array(List<Reply> jobs)) {
            for (Reply job : jobs) {
                if (job instanceof Reply.Array(List<Reply> words) && !isOver(field(words, "state"))) {
                    boolean away = field(words, "operation").equals("EXPORT");
                    moves.add("slots " + field(words, "slot_ranges") + (away ? " away from " : " to ")
                            + server.endpoint());
                }
            }
        }
        return moves;
    }

    private static boolean isOver(String state) {
        return state.equals("success") || state.equals("failed") || state.startsWith("cancel");
    }

    private static String field(List<Reply> words, String name) {
        for (int i = 0; i + 1 < words.size(); i += 2) {
            if (words.get(i).text().equals(name)) {
                return words.get(i + 1).text();
            }
        }
        return "";
    }
}
