package io.switchback.cli.demo;

import java.io.Console;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code switchback demo}. */
@Command(
        name = "demo",
        description = {
            "Runs the main job on real servers, with real clients, in three acts.",
            "Forward and back by hand; forward, the new fleet turns slow and the release goes back by itself; forward and",
            "finish. Ends in under two minutes, leaves nothing behind.",
            "Exit code 1 where anything was lost or noticed."
        },
        mixinStandardHelpOptions = true)
public final class DemoCommand implements Callable<Integer> {
    private final PrintStream out;

    @Option(names = "--json", paramLabel = "FILE", description = "write the figures for a program as well")
    private @Nullable Path json;

    @Option(
            names = "--hold-open",
            description = "when the acts are over, keep everything running until Enter is pressed")
    private boolean holdOpen;

    public DemoCommand(PrintStream out) {
        this.out = out;
    }

    @Override
    public Integer call() throws IOException, InterruptedException {
        Path folder = Files.createTempDirectory("switchback-demo");
        // Also when it is interrupted: the servers and the node end with this process, and then their files go.
        Thread cleaner = Thread.ofPlatform().unstarted(() -> delete(folder));
        Runtime.getRuntime().addShutdownHook(cleaner);
        DemoServers servers = DemoServers.choose(out);
        Screen screen = new Screen(
                out,
                Optional.ofNullable(System.console())
                                .filter(Console::isTerminal)
                                .isPresent()
                        && System.getenv("TERM") != null);
        screen.title("Switchback moves a live cache from " + servers.old().name() + " to "
                + servers.fresh().name() + ", and back");
        Demo.Outcome outcome = new Demo(folder, servers, screen).play(() -> holdOpen(folder));
        Figures.print(out, outcome);
        if (json != null) {
            Figures.write(json, outcome);
        }
        return outcome.clean() ? 0 : 1;
    }

    private void holdOpen(Path folder) {
        if (!holdOpen) {
            return;
        }
        out.println();
        out.println("Everything still runs. Play with it:  ./switchback release status --node "
                + folder.resolve("node.yaml"));
        out.println("Press Enter to end it.");
        try {
            int read;
            do {
                read = System.in.read();
            } while (read >= 0 && read != '\n');
        } catch (IOException e) {
            out.println("no input to wait for: " + e.getMessage());
        }
    }

    private static void delete(Path folder) {
        try (Stream<Path> files = Files.walk(folder)) {
            List<Path> deepestFirst = files.sorted(Comparator.reverseOrder()).toList();
            for (Path file : deepestFirst) {
                Files.deleteIfExists(file);
            }
        } catch (IOException e) {
            System.err.println("the demo's folder could not be deleted: " + e);
        }
    }
}
