package io.switchback.cli;

import com.fasterxml.jackson.databind.JsonNode;
import io.switchback.cli.ReleaseCommands.NodeOptions;
import io.switchback.cli.admin.AdminClient;
import java.io.PrintStream;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;

/** {@code switchback cache ...}: what a node sees of a cache's traffic. */
@Command(
        name = "cache",
        description = "Shows what a node sees of a cache's traffic.",
        mixinStandardHelpOptions = true,
        footer = {"", "What the figures mean: docs/keys.md."})
final class CacheCommands {
    private static final double PERCENT = 100;

    private final PrintStream out;

    CacheCommands(PrintStream out) {
        this.out = out;
    }

    @Command(
            name = "keys",
            description = "Lists the keys that are hot, and those that are big, in this node's traffic.",
            mixinStandardHelpOptions = true)
    int keys(
            @Mixin NodeOptions options,
            @Parameters(
                            paramLabel = "NAME",
                            arity = "0..1",
                            description = "the cache; without it every one that the node serves")
                    @Nullable
                    String name) {
        AdminClient client = options.client();
        for (String cache : name == null ? caches(client) : List.of(name)) {
            JsonNode keys = client.read("/v1/caches/" + URLEncoder.encode(cache, StandardCharsets.UTF_8) + "/keys");
            if (options.isJson()) {
                out.println(keys);
            } else {
                print(keys);
            }
        }
        return Main.DONE;
    }

    private static List<String> caches(AdminClient client) {
        List<String> names = new ArrayList<>();
        client.read("/v1/node")
                .path("caches")
                .forEach(cache -> names.add(cache.path("cache").asText()));
        return names;
    }

    private void print(JsonNode keys) {
        out.println(String.format(
                Locale.ROOT,
                "cache %s: %.0f requests/s through node %s",
                keys.path("cache").asText(),
                keys.path("requestsPerSecond").asDouble(),
                keys.path("node").asText()));
        if (!keys.path("hot").isEmpty()) {
            out.println("  requests/s        +/-   share  writes        bytes  db  command      hot key");
        }
        keys.path("hot")
                .forEach(key -> out.println(String.format(
                        Locale.ROOT,
                        "%12.1f %10.1f %6.1f%% %6.0f%% %12d %3d  %-12s %s",
                        key.path("requestsPerSecond").asDouble(),
                        key.path("errorPerSecond").asDouble(),
                        key.path("share").asDouble() * PERCENT,
                        key.path("writeShare").asDouble() * PERCENT,
                        key.path("bytes").asLong(),
                        key.path("database").asInt(),
                        key.path("command").asText(),
                        key.path("key").asText())));
        if (!keys.path("big").isEmpty()) {
            out.println("       bytes      s ago  db  command      big key");
        }
        keys.path("big")
                .forEach(key -> out.println(String.format(
                        Locale.ROOT,
                        "%12d %10d %3d  %-12s %s",
                        key.path("bytes").asLong(),
                        key.path("secondsAgo").asLong(),
                        key.path("database").asInt(),
                        key.path("command").asText(),
                        key.path("key").asText())));
    }
}
