package io.switchback.bench.links;

import io.switchback.bench.CampaignFiles;
import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Kills and cuts of links that anyone can run: {@code bench/links}. Its rounds add up in a campaign, as those of {@link io.switchback.bench.chaos.Chaos} do: a file with a line for each,
 * which says the seed, the commit, what was done and how it ended; the next run goes on with the next seed.
 */
public final class LinkCampaign {
    private static final int ROUNDS_DEFAULT = 5;
    private static final int KILLS_DEFAULT = 10;

    private static final String HELP = """
            Usage: bench/links [--rounds N] [--kills N] [--seed SEED] [--campaign FILE] [--keep] [--events]

            Each round takes two fleets of real servers: of every pair of the versions that are there one after the other, a
            server, a cluster or a server and its replica under sentinels on either side. One is filled with every type in every encoding that it writes; links carry it
            to the other while clients write to it. The process that runs the links is killed (SIGKILL) at random moments and
            another one goes on, connections are cut, slots of a target move, sentinels make another server the primary,
            and in some rounds servers of the target are killed, too. Then clients rest, and both sides must be equal, but for what docs/types.md lists; then the same from the other side back,
            without a copy. Counters must be what their clients have counted, and no source may have been asked for a
            snapshot by a link that had its copy.

              --rounds N        so many rounds (5)
              --kills N         of the links' process in each, half of them on the way back (10)
              --seed SEED       of the first round; the next ones follow (1, or the one after the campaign's last)
              --campaign FILE   adds a line for each round
              --keep            keeps the folder of a round that went wrong, with the links' and servers' logs
              --events          says what was done and when, of every round; otherwise only where one went wrong

            Exit codes: 0 all held, 1 something did not, 2 a mistake on the command line.
            """;

    /** Where each start of a process finds its classes ready; written by the first that ends by itself. */
    private static final Path SHARED_CLASSES = Path.of(
            System.getProperty("java.io.tmpdir"),
            "switchback-links-" + ProcessHandle.current().pid() + ".jsa");

    private final PrintStream out = System.out;
    private int rounds = ROUNDS_DEFAULT;
    private int kills = KILLS_DEFAULT;
    private long seed = -1;
    private Path campaign = Path.of("");
    private boolean keep;
    private boolean events;

    private LinkCampaign() {}

    static Path sharedClasses() {
        return SHARED_CLASSES;
    }

    /** Arguments: the commit that is tested, and those of {@link #HELP}. */
    public static void main(String[] arguments) throws IOException {
        LinkCampaign links = new LinkCampaign();
        links.options(new ArrayDeque<>(List.of(arguments).subList(1, arguments.length)));
        int code;
        try {
            code = links.run(arguments[0]);
        } finally {
            Files.deleteIfExists(SHARED_CLASSES);
        }
        System.exit(code);
    }

    private void options(Deque<String> options) throws IOException {
        while (!options.isEmpty()) {
            String option = options.remove();
            switch (option) {
                case "--rounds" -> rounds = number(option, options);
                case "--kills" -> kills = number(option, options);
                case "--seed" -> seed = number(option, options);
                case "--campaign" -> campaign = Path.of(valueOf(option, options));
                case "--keep" -> keep = true;
                case "--events" -> events = true;
                case "--help", "-h" -> end(System.out, "", 0);
                default -> end(System.err, "links: there is no option " + option + "\n", 2);
            }
        }
        if (seed < 0) {
            seed = CampaignFiles.nextSeed(campaign);
        }
    }

    private static int number(String option, Deque<String> rest) {
        String value = valueOf(option, rest);
        if (!value.matches("[0-9]{1,9}")) {
            end(System.err, "links: " + option + " takes a whole number, not " + value + "\n", 2);
        }
        return Integer.parseInt(value);
    }

    private boolean hasCampaign() {
        return !campaign.toString().isEmpty();
    }

    private static String valueOf(String option, Deque<String> rest) {
        if (rest.isEmpty()) {
            end(System.err, "links: " + option + " needs a value\n", 2);
        }
        return rest.remove();
    }

    private static void end(PrintStream to, String mistake, int code) {
        to.print(mistake + HELP);
        to.flush();
        System.exit(code);
    }

    private int run(String commit) throws IOException {
        List<ServerBinary> versions = ServerBinary.matrix();
        if (versions.isEmpty()) {
            versions = List.of(ServerBinary.any());
            out.println("links: scripts/fetch-servers has fetched no servers; going on with "
                    + versions.getFirst().name() + " alone");
        }
        Path folder = Files.createTempDirectory("switchback-links-");
        int failures = 0;
        int killed = 0;
        for (int round = 1; round <= rounds; round++, seed++) {
            Path own = Files.createDirectory(folder.resolve("round-" + seed));
            LinkRound.Outcome outcome = round(RoundPlan.of(seed, versions), own);
            boolean held = outcome.problem().isEmpty();
            killed += outcome.killed();
            out.printf(
                    "links: round %d of %d, seed %d, %s: %s; %d kills, %d cuts, %d restarts, %d changes, %d snapshots, %d writes,"
                            + " %d counted, %d keys compared, %d listed differences, %.0f s%n",
                    round,
                    rounds,
                    outcome.plan().seed(),
                    shown(outcome.plan()),
                    held ? outcome.closed() == 0 ? "held" : "held until closed" : "BROKEN: " + outcome.problem(),
                    outcome.killed(),
                    outcome.cut(),
                    outcome.restarted(),
                    outcome.changed(),
                    outcome.snapshots(),
                    outcome.written(),
                    outcome.counted(),
                    outcome.compared(),
                    outcome.listed(),
                    outcome.seconds());
            failures += held ? 0 : 1;
            if (events || !held) {
                outcome.events().forEach(event -> out.println("    " + event));
            }
            record(commit, outcome);
            if (held || !keep) {
                CampaignFiles.delete(own);
            }
        }
        if (failures == 0 || !keep) {
            CampaignFiles.delete(folder);
        } else {
            out.println("links: what went wrong is in " + folder);
        }
        out.printf("links: %d of %d rounds held, %d kills%n", rounds - failures, rounds, killed);
        return failures == 0 ? 0 : 1;
    }

    private LinkRound.Outcome round(RoundPlan plan, Path folder) {
        try (LinkRound round = new LinkRound(plan, kills, folder)) {
            return round.run();
        }
    }

    private static String shown(RoundPlan plan) {
        return plan.kind() + " " + plan.source().name() + plan.sourceShape() + " to "
                + plan.target().name() + plan.targetShape();
    }

    private void record(String commit, LinkRound.Outcome outcome) throws IOException {
        if (!hasCampaign()) {
            return;
        }
        RoundPlan plan = outcome.plan();
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("seed", plan.seed());
        line.put("commit", commit);
        line.put("at", Instant.now().toString());
        line.put("kind", plan.kind());
        line.put("source", plan.source().name() + plan.sourceShape());
        line.put("target", plan.target().name() + plan.targetShape());
        line.put("held", outcome.problem().isEmpty());
        line.put("problem", outcome.problem());
        line.put("kills", outcome.killed());
        line.put("cuts", outcome.cut());
        line.put("restarts", outcome.restarted());
        line.put("changes", outcome.changed());
        line.put("closed", outcome.closed());
        line.put("snapshots", outcome.snapshots());
        line.put("writes", outcome.written());
        line.put("counted", outcome.counted());
        line.put("compared", outcome.compared());
        line.put("listed", outcome.listed());
        CampaignFiles.append(campaign, line);
    }
}
