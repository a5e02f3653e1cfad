package io.switchback.cli;

import io.switchback.environment.Environment;
import io.switchback.server.Node;
import io.switchback.server.NodeFile;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

/** {@code switchback serve FILE}: runs a node until it is told to stop. */
@Command(
        name = "serve",
        description = "Starts a node from its file, and runs until it is stopped (SIGTERM or Ctrl-C).",
        mixinStandardHelpOptions = true,
        footer = {
            "",
            "A file:",
            "  node: edge-1",
            "  admin: { listen: 127.0.0.1:7070, token: file:admin.token }",
            "  ledger: embedded:./data",
            "  caches:",
            "    sessions:",
            "      listen: 127.0.0.1:6379",
            "      active: blue",
            "      fleets:",
            "        blue:  { standalone: 127.0.0.1:7001 }",
            "        green: { standalone: 127.0.0.1:7002 }"
        })
final class ServeCommand implements Callable<Integer> {
    private final PrintStream out;

    @Parameters(paramLabel = "FILE", description = "the node's YAML file")
    private Path file = Path.of("node.yaml");

    ServeCommand(PrintStream out) {
        this.out = out;
    }

    @Override
    public Integer call() {
        NodeLog.setUp();
        NodeFile nodeFile = NodeFile.read(file);
        Node node = Node.start(nodeFile, Environment.system());
        Runtime.getRuntime().addShutdownHook(Thread.ofPlatform().unstarted(node::close));
        nodeFile.caches()
                .forEach(cache -> out.println("cache " + cache.name() + " on " + node.addresses(cache.name())));
        node.adminAddress().ifPresent(address -> out.println("admin API on " + address));
        out.println("node " + nodeFile.node() + " serves");
        out.flush();
        String why = node.ended().join();
        if (!why.isEmpty()) {
            out.println("switchback: " + why);
            return Main.ENDED_OTHERWISE;
        }
        return Main.DONE;
    }
}
