package io.switchback.cli;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import io.switchback.cli.admin.AdminClient;
import io.switchback.cli.admin.ReleaseView;
import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.release.ReleaseFile;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code switchback release ...}: starts a release on a running node, shows where it stands, and gives it orders. */
@Command(
        name = "release",
        description = "Starts a release on a running node, shows where it stands, and gives it orders.",
        mixinStandardHelpOptions = true,
        footer = {
            "",
            "NAME may be left out: then it is the release that is open, or else the latest.",
            "Every command takes --node FILE (default: node.yaml) and --json.",
            "",
            "The steps: check, backup, migrate, sync, verify, cutover, observe, finish.",
            "Until finish, rollback goes back without copying anything; resume goes forward again.",
            "Where the way back is closed, rollback waits until the old fleet is filled again."
        })
final class ReleaseCommands {
    private static final Duration FOLLOW_TURN = Duration.ofMillis(250);
    /** Observing takes hours, and each second of it looks like the last. */
    private static final Duration FOLLOW_OBSERVED = Duration.ofSeconds(10);

    /** The release is not where it was to go. */
    private static final Set<String> NOT_THERE = Set.of("FAILED", "ABORTED", "ROLLED_BACK");

    private static final Set<String> ENDED = Set.of("FINISHED", "ABORTED", "FAILED");
    private static final Set<String> STANDING = Set.of("PAUSED", "ROLLED_BACK");

    private final PrintStream out;

    ReleaseCommands(PrintStream out) {
        this.out = out;
    }

    /** Where the node is, and how to answer. */
    static final class NodeOptions {
        @Option(names = "--node", paramLabel = "FILE", description = "the node's file (default: ${DEFAULT-VALUE})")
        private Path nodeFile = Path.of("node.yaml");

        @Option(names = "--json", description = "for a program")
        private boolean json;

        AdminClient client() {
            return AdminClient.of(nodeFile);
        }

        boolean isJson() {
            return json;
        }
    }

    @Command(
            name = "start",
            description = "Starts a release from its file; returns at once.",
            mixinStandardHelpOptions = true)
    int start(
            @Mixin NodeOptions options,
            @Parameters(paramLabel = "FILE", description = "the release's YAML file") Path file,
            @Option(names = "--follow", description = "stay and show how it goes") boolean follow)
            throws IOException, InterruptedException {
        // Read here as well, so that mistakes are told by the name that the person gave.
        byte[] text = ReleaseFile.read(file).sourceText().getBytes(UTF_8);
        AdminClient client = options.client();
        JsonNode started = client.post("/v1/releases", text);
        String name = started.path("release").asText();
        if (follow) {
            return follow(client, name, options.json);
        }
        if (options.json) {
            out.println(started);
        } else {
            out.println("release " + name + " has started; see: switchback release follow " + name);
        }
        return Main.DONE;
    }

    @Command(name = "status", description = "Shows where a release stands.", mixinStandardHelpOptions = true)
    int status(@Mixin NodeOptions options, @Parameters(paramLabel = "NAME", arity = "0..1") @Nullable String name) {
        AdminClient client = options.client();
        JsonNode status = client.read(path(nameOf(client, name), ""));
        if (options.json) {
            out.println(status);
        } else {
            ReleaseView.print(out, status);
        }
        return Main.DONE;
    }

    @Command(
            name = "list",
            description = "Lists every release that the node's ledger knows.",
            mixinStandardHelpOptions = true)
    int list(@Mixin NodeOptions options) {
        JsonNode releases = options.client().read("/v1/releases");
        if (options.json) {
            out.println(releases);
        } else {
            releases.forEach(one -> out.println(ReleaseView.line(one)));
            if (releases.isEmpty()) {
                out.println("there is no release yet");
            }
        }
        return Main.DONE;
    }

    @Command(
            name = "follow",
            description =
                    "Shows how a release goes until it ends, stands still or waits for finish. Exit code 1 where it failed, was aborted or is rolled back.",
            mixinStandardHelpOptions = true)
    int followCommand(
            @Mixin NodeOptions options, @Parameters(paramLabel = "NAME", arity = "0..1") @Nullable String name)
            throws InterruptedException {
        AdminClient client = options.client();
        return follow(client, nameOf(client, name), options.json);
    }

    @Command(
            name = "journal",
            description = "Shows everything that happened in a release, with who and when.",
            mixinStandardHelpOptions = true)
    int journal(@Mixin NodeOptions options, @Parameters(paramLabel = "NAME", arity = "0..1") @Nullable String name) {
        AdminClient client = options.client();
        JsonNode journal = client.read(path(nameOf(client, name), "/journal"));
        if (options.json) {
            out.println(journal);
        } else {
            journal.forEach(entry -> out.println(entry.path("at").asText() + "  "
                    + entry.path("who").asText() + "  " + entry.path("step").asText() + ": "
                    + entry.path("what").asText()));
        }
        return Main.DONE;
    }

    @Command(
            name = "pause",
            description =
                    "Stands still after what is under way; the link goes on. No gate is judged meanwhile, and an old"
                            + " fleet whose way back is closed is not copied over.",
            mixinStandardHelpOptions = true)
    int pause(@Mixin NodeOptions options, @Parameters(paramLabel = "NAME", arity = "0..1") @Nullable String name) {
        return order(options, name, "pause", false);
    }

    @Command(
            name = "resume",
            description =
                    "Goes on; after a rollback: forward again, without a copy unless the link has broken. Where the"
                            + " way back is closed it also means: copy over what the old fleet has.",
            mixinStandardHelpOptions = true)
    int resume(@Mixin NodeOptions options, @Parameters(paramLabel = "NAME", arity = "0..1") @Nullable String name) {
        return order(options, name, "resume", false);
    }

    @Command(
            name = "rollback",
            description =
                    "Goes back to the old fleet. Nothing is lost; waits while the way back is closed, until the old fleet has"
                            + " been filled again.",
            mixinStandardHelpOptions = true)
    int rollback(
            @Mixin NodeOptions options,
            @Parameters(paramLabel = "NAME", arity = "0..1") @Nullable String name,
            @Option(
                            names = "--accept-loss",
                            description =
                                    "go even where the way back is closed, without what the old fleet has not; not to a"
                                            + " fleet that is being filled again")
                    boolean acceptLoss) {
        return order(options, name, "rollback", acceptLoss);
    }

    @Command(
            name = "abort",
            description = "Ends the release on the old fleet, and puts everything back.",
            mixinStandardHelpOptions = true)
    int abort(
            @Mixin NodeOptions options,
            @Parameters(paramLabel = "NAME", arity = "0..1") @Nullable String name,
            @Option(names = "--accept-loss", description = "as for rollback") boolean acceptLoss) {
        return order(options, name, "abort", acceptLoss);
    }

    @Command(
            name = "finish",
            description = "Ends the release on the new fleet: gives up the way back.",
            mixinStandardHelpOptions = true)
    int finish(@Mixin NodeOptions options, @Parameters(paramLabel = "NAME", arity = "0..1") @Nullable String name) {
        return order(options, name, "finish", false);
    }

    private int order(NodeOptions options, @Nullable String name, String order, boolean acceptLoss) {
        AdminClient client = options.client();
        String release = nameOf(client, name);
        StringBuilder note = new StringBuilder();
        JsonNode answer = client.post(
                path(release, "/" + order + (acceptLoss ? "?accept-loss=true" : "")), new byte[0], note::append);
        String more = note.isEmpty() ? "" : "; " + note;
        out.println(options.json ? answer : "release " + release + ": " + order + " is ordered" + more);
        return Main.DONE;
    }

    private int follow(AdminClient client, String name, boolean json) throws InterruptedException {
        String last = "";
        String lastStep = "";
        int switchesSeen = client.read(path(name, "")).path("switches").size();
        Deadline quiet = Deadline.in(Environment.system(), Duration.ZERO);
        while (true) {
            JsonNode status = client.read(path(name, ""));
            String line = json ? status.toString() : ReleaseView.line(status);
            String step = status.path("status").asText() + status.path("step").asText();
            for (; !json && switchesSeen < status.path("switches").size(); switchesSeen++) {
                out.println(ReleaseView.switched(status, switchesSeen));
            }
            if (!step.equals(lastStep) || (!line.equals(last) && quiet.passed())) {
                out.println(line);
                last = line;
                lastStep = step;
                boolean observes = status.path("step").asText().equals("OBSERVE");
                quiet = Deadline.in(Environment.system(), observes ? FOLLOW_OBSERVED : FOLLOW_TURN);
            }
            String state = status.path("status").asText();
            boolean waitsForFinish = status.path("step").asText().equals("FINISH") && state.equals("RUNNING");
            if (ENDED.contains(state) || STANDING.contains(state) || waitsForFinish) {
                if (!json) {
                    ReleaseView.print(out, status);
                }
                return NOT_THERE.contains(state) ? Main.ENDED_OTHERWISE : Main.DONE;
            }
            Environment.system().sleep(FOLLOW_TURN);
        }
    }

    private static String nameOf(AdminClient client, @Nullable String name) {
        if (name != null) {
            return name;
        }
        List<String> open = new ArrayList<>();
        List<String> all = new ArrayList<>();
        client.read("/v1/releases").forEach(release -> {
            all.add(release.path("release").asText());
            if (!ENDED.contains(release.path("status").asText())) {
                open.add(release.path("release").asText());
            }
        });
        if (open.size() == 1) {
            return open.getFirst();
        }
        if (open.isEmpty() && !all.isEmpty()) {
            return all.getLast();
        }
        throw new AdminClient.Refused(
                404, all.isEmpty() ? "this node has no release yet" : "say which release: " + String.join(", ", open));
    }

    private static String path(String release, String rest) {
        return "/v1/releases/" + java.net.URLEncoder.encode(release, java.nio.charset.StandardCharsets.UTF_8) + rest;
    }
}
