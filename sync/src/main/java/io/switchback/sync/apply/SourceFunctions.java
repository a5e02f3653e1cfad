package io.switchback.sync.apply;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerVersion;
import io.switchback.resp.Reply;
import io.switchback.sync.rdb.ValueTarget;
import java.io.IOException;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The source's libraries of functions, of which no change is told: they are compared, and those that changed are given to the target. For the link's own thread. */
final class SourceFunctions {
    private static final Duration ANSWER_MAX = Duration.ofSeconds(5);

    private final ServerConnection source;
    private final boolean sourceKnows;
    private final boolean targetKnows;
    private final Lanes lanes;
    private final FleetSpec target;
    private final LeftOut leftOut;
    private Map<String, byte[]> given = Map.of();
    /** Whether nothing is left to be looked for that the target has and the source does not. */
    private boolean compared;

    /** @param othersStay whether the target has libraries of its own, which are nothing of the source's */
    SourceFunctions(
            boolean othersStay,
            ServerConnection source,
            ServerVersion version,
            Lanes lanes,
            FleetSpec target,
            ValueTarget takes,
            LeftOut leftOut) {
        this.compared = othersStay;
        this.source = source;
        this.sourceKnows = new ValueTarget(version).knowsFunctions();
        this.targetKnows = takes.knowsFunctions();
        this.lanes = lanes;
        this.target = target;
        this.leftOut = leftOut;
    }

    /** Has the target given what it lacks. */
    void look(Place from) throws IOException {
        Map<String, byte[]> now = sourceKnows ? libraries(source) : Map.of();
        if (!targetKnows) {
            now.keySet().stream()
                    .filter(name -> !given.containsKey(name))
                    .forEach(name -> leftOut.add(new Key(0, name.getBytes(UTF_8)), "libraries of functions"));
            given = now;
            return;
        }
        Set<String> gone = new HashSet<>(given.keySet());
        if (!compared) {
            for (Lane lane : lanes.all()) {
                gone.addAll(libraries(lane).keySet());
            }
            compared = true;
        }
        gone.removeAll(now.keySet());
        for (Lane lane : lanes.all()) {
            for (String name : gone) {
                lane.send(
                        Lane.Expected.ANYTHING,
                        from,
                        Lanes.word("FUNCTION"),
                        Lanes.word("DELETE"),
                        name.getBytes(UTF_8));
            }
            for (Map.Entry<String, byte[]> library : now.entrySet()) {
                if (!Arrays.equals(given.get(library.getKey()), library.getValue())) {
                    lane.send(
                            Lane.Expected.SUCCESS,
                            from,
                            Lanes.word("FUNCTION"),
                            Lanes.word("LOAD"),
                            Lanes.word("REPLACE"),
                            library.getValue());
                }
            }
        }
        given = now;
    }

    private Map<String, byte[]> libraries(Lane lane) throws IOException {
        try (ServerConnection server =
                ServerConnection.open(lane.server(), target.credential(), target.tls(), ANSWER_MAX)) {
            return libraries(server);
        } catch (FleetException e) {
            throw new IOException("the target's functions cannot be read: " + e.getMessage(), e);
        }
    }

    private static Map<String, byte[]> libraries(ServerConnection server) {
        Map<String, byte[]> libraries = new HashMap<>();
        if (server.demand("FUNCTION", "LIST", "WITHCODE") instanceof Reply.Array(List<Reply> all)) {
            for (Reply one : all) {
                if (one instanceof Reply.Array(List<Reply> words)) {
                    String name = "";
                    for (int i = 0; i + 1 < words.size(); i += 2) {
                        switch (words.get(i).text()) {
                            case "library_name" -> name = words.get(i + 1).text();
                            case "library_code" -> {
                                if (words.get(i + 1) instanceof Reply.Bulk(byte[] code)) {
                                    libraries.put(name, code);
                                }
                            }
                            default -> {}
                        }
                    }
                }
            }
        }
        return libraries;
    }
}
