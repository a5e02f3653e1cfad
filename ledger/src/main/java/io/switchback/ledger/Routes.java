package io.switchback.ledger;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/** The routes of the caches, as the ledger knows them. Any thread. */
public final class Routes {
    private static final String FOLDER = "routes";

    private final Ledger ledger;

    public Routes(Ledger ledger) {
        this.ledger = ledger;
    }

    /** Where a cache's traffic goes; empty before its first route. */
    public Optional<Route> current(String cache) {
        return ledger.read(path(cache)).map(Routes::route);
    }

    /** All routes, by cache. */
    public Map<String, Route> all() {
        Map<String, Route> routes = new TreeMap<>();
        for (Entry entry : ledger.list(FOLDER)) {
            routes.put(entry.path().substring(FOLDER.length() + 1), route(entry));
        }
        return routes;
    }

    /**
     * What to put into a transaction to route a cache anew. It conflicts if the route has changed by then.
     *
     * @throws LedgerException CONFLICT unless the epoch is one more than the present one (1 where there is none): whoever asks
     *     has not seen the route that he would replace, since somebody has been faster
     */
    public List<Operation> next(String cache, Route route) {
        return find(cache).next(route);
    }

    /** A look at the route of a cache, for whoever wants to replace it later and not look again then. */
    public Found find(String cache) {
        return new Found(cache, ledger.read(path(cache)));
    }

    /** The route of a cache when it was looked for, in the version of then. */
    public static final class Found {
        private final String cache;
        private final Optional<Entry> entry;

        private Found(String cache, Optional<Entry> entry) {
            this.cache = cache;
            this.entry = entry;
        }

        public String cache() {
            return cache;
        }

        /** As {@link Routes#next(String, Route)}, of what was found; it conflicts as well if the route has changed since. */
        public List<Operation> next(Route route) {
            long before = entry.map(Routes::route).map(Route::epoch).orElse(0L);
            if (route.epoch() != before + 1) {
                throw new LedgerException(
                        LedgerException.Code.CONFLICT,
                        "the route of " + cache + " is at epoch " + before + ", so the next one cannot be " + route);
            }
            byte[] value = value(route);
            return List.of(
                    entry.isPresent()
                            ? new Operation.Replace(
                                    path(cache), value, entry.get().version())
                            : new Operation.Create(path(cache), value));
        }
    }

    /** Sets the first route of a cache; whoever is first has set it. What it is then. */
    public Route begin(String cache, String fleet) {
        ledger.transact(List.of(new Operation.Create(path(cache), value(new Route(fleet, 1)))));
        ledger.catchUp();
        return current(cache).orElseThrow();
    }

    /** Keeps a copy of a route that another ledger has, for when that one cannot be asked. */
    public void copy(String cache, Route route) {
        if (!current(cache).equals(Optional.of(route))) {
            ledger.transact(List.of(new Operation.Put(path(cache), value(route))));
        }
    }

    private static byte[] value(Route route) {
        return Json.bytes(Json.object().put("fleet", route.fleet()).put("epoch", route.epoch()));
    }

    private static String path(String cache) {
        return FOLDER + "/" + cache;
    }

    private static Route route(Entry entry) {
        return Json.read(entry, json -> new Route(Json.text(json, "fleet"), Json.integer(json, "epoch")));
    }
}
