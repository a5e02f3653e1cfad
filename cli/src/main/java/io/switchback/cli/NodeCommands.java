package io.switchback.cli;

import com.fasterxml.jackson.databind.JsonNode;
import io.switchback.cli.ReleaseCommands.NodeOptions;
import java.io.PrintStream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;

/** {@code switchback node ...}: the nodes that share a ledger. */
@Command(
        name = "node",
        description = "Shows the nodes that share a ledger, and removes one that is gone for good.",
        mixinStandardHelpOptions = true,
        footer = {
            "",
            "A node that died stays registered, because nobody can know whether it still serves clients: a release waits for",
            "it before it switches, unless the node had acknowledged the release. Start it again, or remove it."
        })
final class NodeCommands {
    private final PrintStream out;

    NodeCommands(PrintStream out) {
        this.out = out;
    }

    @Command(name = "list", description = "Lists the registered nodes.", mixinStandardHelpOptions = true)
    int list(@Mixin NodeOptions options) {
        print(options, options.client().read("/v1/nodes"));
        return Main.DONE;
    }

    @Command(
            name = "remove",
            description = "Says of a node that is not there that it serves no more, and never will again as it was.",
            mixinStandardHelpOptions = true)
    int remove(
            @Mixin NodeOptions options, @Parameters(paramLabel = "NAME", description = "the node's name") String name) {
        print(options, options.client().post("/v1/nodes/" + name + "/remove", new byte[0]));
        return Main.DONE;
    }

    private void print(NodeOptions options, JsonNode nodes) {
        if (options.isJson()) {
            out.println(nodes);
            return;
        }
        for (JsonNode node : nodes) {
            StringBuilder caches = new StringBuilder();
            node.path("caches").forEach(cache -> caches.append(' ').append(cache.asText()));
            out.println("node " + node.path("node").asText()
                    + (node.path("isThere").asBoolean() ? " is there" : " is not there")
                    + ", serves" + caches);
        }
    }
}
