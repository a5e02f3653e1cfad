package io.switchback.server;

import io.switchback.fleet.FleetSpec;
import io.switchback.ledger.EmbeddedLedger;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.Route;
import io.switchback.ledger.Routes;
import io.switchback.server.NodeFile.CacheSettings;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Where a node last sent each cache's clients, told from its data folder alone: nothing of Switchback needs to run. */
public record LastRoute(String cache, String fleet, String server, long epoch, boolean fromLedger) {

    /** One for each cache of the file; where no node has ever started with its data folder, the file's own active fleet. */
    public static List<LastRoute> read(NodeFile file) {
        if (!Files.exists(file.dataFolder())) {
            return routes(file, Optional.empty());
        }
        try (Ledger ledger = EmbeddedLedger.readOnly(file.dataFolder())) {
            return routes(file, Optional.of(new Routes(ledger)));
        }
    }

    private static List<LastRoute> routes(NodeFile file, Optional<Routes> ledger) {
        List<LastRoute> routes = new ArrayList<>();
        for (CacheSettings cache : file.caches()) {
            Optional<Route> known = ledger.flatMap(found -> found.current(cache.name()));
            String fleet = known.map(Route::fleet).orElse(cache.active());
            FleetSpec spec = cache.fleets().get(fleet);
            routes.add(new LastRoute(
                    cache.name(),
                    fleet,
                    spec == null ? "not in the file any more" : spec.address().toString(),
                    known.map(Route::epoch).orElse(0L),
                    known.isPresent()));
        }
        return routes;
    }
}
