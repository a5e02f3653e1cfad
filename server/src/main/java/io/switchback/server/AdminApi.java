package io.switchback.server;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.switchback.config.ConfigException;
import io.switchback.config.YamlMap;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetException;
import io.switchback.ledger.JournalEntry;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.LedgerException;
import io.switchback.ledger.Route;
import io.switchback.ledger.Routes;
import io.switchback.proxy.BigKey;
import io.switchback.proxy.HotKey;
import io.switchback.proxy.KeyReport;
import io.switchback.release.ManagedCache;
import io.switchback.release.Order;
import io.switchback.release.ReleaseEngine;
import io.switchback.release.ReleaseException;
import io.switchback.release.ReleaseFile;
import io.switchback.release.ReleaseStatus;
import io.switchback.server.NodeFile.AdminSettings;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.security.MessageDigest;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Executors;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The node's admin API: JSON (metrics: text) over HTTP, on the address that the file names, for whoever has the token.
 *
 * <pre>
 * GET  /metrics                              counts and response times, in the text format of Prometheus
 * GET  /v1/node                              what the node serves, where each cache is routed, and whether that can be reached
 * GET  /v1/caches/NAME/keys                  which keys of a cache are hot and which are big, in this node's traffic
 * GET  /v1/nodes                             the registered nodes, and which of them are there
 * POST /v1/nodes/NAME/remove                 one that is not there serves no more, and never will again as it was
 * GET  /v1/releases                          every release that the ledger knows
 * POST /v1/releases                          starts one; the body is the release's file
 * GET  /v1/releases/NAME                     where one stands
 * GET  /v1/releases/NAME/journal             what happened in it
 * POST /v1/releases/NAME/pause|resume|rollback|abort|finish      an order; rollback and abort take ?accept-loss=true
 * </pre>
 *
 * <p>Errors: 400 (a file with mistakes, all of them listed), 401, 404, 409 (not now, or the cache is in another release), 413,
 * 503 (the ledger or a server does not answer), each with a body {@code {"error": text}}. Each request has a virtual thread.
 */
final class AdminApi implements AutoCloseable {
    static final int BODY_BYTES_MAX = 1024 * 1024;

    private static final Logger LOG = LoggerFactory.getLogger(AdminApi.class);
    private static final ObjectMapper JSON = new ObjectMapper();

    private final HttpServer server;
    private final byte[] token;
    private final String node;
    private final Routes routes;
    private final Map<String, ManagedCache> caches;
    private final ReleaseEngine engine;

    private record Answer(int status, Object body, String contentType) {
        Answer(int status, Object body) {
            this(status, body, "application/json");
        }

        byte[] bytes() throws JsonProcessingException {
            return body instanceof String text ? text.getBytes(UTF_8) : JSON.writeValueAsBytes(body);
        }
    }

    private record CacheView(
            String cache, List<String> listen, String fleet, String server, boolean reachable, long epoch) {}

    private record KeysView(String node, String cache, double requestsPerSecond, List<HotKey> hot, List<BigKey> big) {
        KeysView(String node, String cache, KeyReport keys) {
            this(node, cache, keys.requestsPerSecond(), keys.hot(), keys.big());
        }
    }

    private record NodeView(String node, List<CacheView> caches) {}

    private record JournalView(String at, String who, String step, String what, Map<String, String> details) {}

    private AdminApi(
            HttpServer server,
            byte[] token,
            String node,
            Routes routes,
            Map<String, ManagedCache> caches,
            ReleaseEngine engine) {
        this.routes = routes;
        this.server = server;
        this.token = token;
        this.node = node;
        this.caches = caches;
        this.engine = engine;
    }

    static AdminApi start(
            AdminSettings settings,
            String node,
            Ledger ledger,
            Map<String, ManagedCache> caches,
            ReleaseEngine engine) {
        Endpoint listen =
                new Endpoint(settings.listen().host(), settings.listen().port());
        try {
            HttpServer server = HttpServer.create(new InetSocketAddress(listen.host(), listen.port()), 0);
            AdminApi api = new AdminApi(
                    server, settings.token().reveal().getBytes(UTF_8), node, new Routes(ledger), caches, engine);
            server.createContext("/", api::handle);
            server.setExecutor(Executors.newVirtualThreadPerTaskExecutor());
            server.start();
            return api;
        } catch (IOException e) {
            throw new NodeException(
                    "the admin API cannot listen on " + listen + ": " + e.getMessage()
                            + "; is another node running, or is the address not this machine's?",
                    e);
        }
    }

    Endpoint address() {
        return new Endpoint(
                server.getAddress().getAddress().getHostAddress(),
                server.getAddress().getPort());
    }

    private void handle(HttpExchange exchange) throws IOException {
        try (exchange) {
            Answer answer = authorized(exchange)
                    ? answer(exchange)
                    : refused(
                            401,
                            "the token is missing or wrong; it is the one that admin.token in this node's file names (Authorization: Bearer TOKEN)");
            byte[] body = answer.bytes();
            exchange.getResponseHeaders().set("Content-Type", answer.contentType());
            exchange.sendResponseHeaders(answer.status(), body.length);
            exchange.getResponseBody().write(body);
        } catch (JsonProcessingException e) {
            LOG.error("{} cannot be shown", exchange.getRequestURI(), e);
            exchange.sendResponseHeaders(500, -1);
        }
    }

    private boolean authorized(HttpExchange exchange) {
        String given = Optional.ofNullable(exchange.getRequestHeaders().getFirst("Authorization"))
                .filter(header -> header.startsWith("Bearer "))
                .map(header -> header.substring("Bearer ".length()))
                .orElse("");
        return MessageDigest.isEqual(given.getBytes(UTF_8), token);
    }

    private Answer answer(HttpExchange exchange) throws IOException {
        String[] path = exchange.getRequestURI().getPath().substring(1).split("/", -1);
        String route = exchange.getRequestMethod() + " " + path.length;
        try {
            if (route.equals("GET 1") && path[0].equals("metrics")) {
                return new Answer(200, MetricsPage.of(caches.values()), MetricsPage.CONTENT_TYPE);
            }
            if (path.length < 2 || !path[0].equals("v1")) {
                return notFound();
            }
            boolean releases = path[1].equals("releases");
            if (releases && path.length > 2 && !YamlMap.isName(path[2])) {
                return noSuchRelease(path[2]); // nothing that is no name can have been started
            }
            return switch (route) {
                case "GET 2" ->
                    path[1].equals("node")
                            ? new Answer(200, nodeView())
                            : path[1].equals("nodes")
                                    ? new Answer(200, engine.nodes())
                                    : releases ? new Answer(200, engine.releases()) : notFound();
                case "POST 2" -> releases ? start(exchange) : notFound();
                case "GET 3" -> releases ? status(path[2]) : notFound();
                case "GET 4" ->
                    releases && path[3].equals("journal")
                            ? new Answer(200, journal(path[2]))
                            : path[1].equals("caches") && path[3].equals("keys") ? keys(path[2]) : notFound();
                case "POST 4" ->
                    releases
                            ? order(path[2], path[3], exchange)
                            : path[1].equals("nodes") && path[3].equals("remove") ? remove(path[2]) : notFound();
                default -> notFound();
            };
        } catch (ConfigException e) {
            return refused(400, e.getMessage());
        } catch (ReleaseException e) {
            return refused(
                    switch (e.code()) {
                        case UNKNOWN -> 404;
                        case BUSY, NOT_NOW, STEP_FAILED -> 409;
                    },
                    e.getMessage());
        } catch (LedgerException | FleetException e) {
            return refused(503, e.getMessage());
        } catch (RuntimeException e) {
            LOG.error("{} {} failed", exchange.getRequestMethod(), exchange.getRequestURI(), e);
            return refused(500, "this should not happen; the node's log says more: " + e);
        }
    }

    private NodeView nodeView() {
        return new NodeView(
                node,
                caches.values().stream()
                        .map(cache -> {
                            Route route = routes.current(cache.name()).orElseThrow();
                            return new CacheView(
                                    cache.name(),
                                    cache.proxy().addresses().stream()
                                            .map(Endpoint::toString)
                                            .toList(),
                                    route.fleet(),
                                    cache.fleet(route.fleet()).address().toString(),
                                    !cache.proxy().unreachableFleets().contains(route.fleet()),
                                    route.epoch());
                        })
                        .toList());
    }

    private Answer keys(String name) {
        ManagedCache cache = caches.get(name);
        return cache == null
                ? refused(404, "there is no cache \"" + name + "\"; there are: " + String.join(", ", caches.keySet()))
                : new Answer(200, new KeysView(node, name, cache.proxy().keys()));
    }

    private Answer start(HttpExchange exchange) throws IOException {
        byte[] body = exchange.getRequestBody().readNBytes(BODY_BYTES_MAX + 1);
        if (body.length > BODY_BYTES_MAX) {
            return refused(413, "a release's file of more than " + BODY_BYTES_MAX + " bytes");
        }
        ReleaseFile file = ReleaseFile.parse("release file", new String(body, UTF_8));
        engine.start(file, who(exchange));
        return status(file.name());
    }

    private Answer status(String release) {
        Optional<ReleaseStatus> status = engine.status(release);
        return status.isPresent() ? new Answer(200, status.get()) : noSuchRelease(release);
    }

    private Answer noSuchRelease(String name) {
        return refused(404, "there is no release \"" + name + "\"; there are: " + String.join(", ", engine.names()));
    }

    private List<JournalView> journal(String release) {
        return engine.journal(release).stream().map(AdminApi::view).toList();
    }

    private static JournalView view(JournalEntry entry) {
        return new JournalView(entry.at().toString(), entry.who(), entry.step(), entry.what(), entry.details());
    }

    private Answer order(String release, String what, HttpExchange exchange) {
        boolean acceptLoss = "accept-loss=true".equals(exchange.getRequestURI().getQuery());
        for (Order.Kind kind : Order.Kind.values()) {
            if (kind.title().equals(what)) {
                Order given = new Order(kind, acceptLoss, who(exchange));
                Order standing = engine.order(release, given);
                if (!standing.equals(given)) {
                    note(exchange, standing.kind().title() + " was ordered already, by " + standing.who());
                } else {
                    awaitCarriedOut(release, given, exchange);
                }
                return status(release);
            }
        }
        return notFound();
    }

    private void awaitCarriedOut(String release, Order given, HttpExchange exchange) {
        try {
            engine.awaitOrder(release, given)
                    .ifPresent(other -> note(
                            exchange,
                            other.kind().title() + ", which " + other.who() + " has ordered since, takes the place of "
                                    + given.kind().title()));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Something that whoever gave an order should know. */
    private static void note(HttpExchange exchange, String note) {
        exchange.getResponseHeaders().set("X-Switchback-Note", note);
    }

    private Answer remove(String node) {
        engine.removeNode(node);
        LOG.warn("node {} was removed from the members", node);
        return new Answer(200, engine.nodes());
    }

    private static String who(HttpExchange exchange) {
        return Optional.ofNullable(exchange.getRequestHeaders().getFirst("X-Switchback-Who"))
                .orElse("admin API")
                .toLowerCase(Locale.ROOT);
    }

    private static Answer notFound() {
        return refused(404, "no such resource; see GET /v1/node, GET /v1/releases, GET /metrics");
    }

    private static Answer refused(int status, @Nullable String error) {
        return new Answer(status, Map.of("error", String.valueOf(error)));
    }

    @Override
    public void close() {
        server.stop(0);
    }
}
