package io.switchback.bench.chaos;

import io.switchback.bench.CampaignFiles;
import io.switchback.testkit.NodeNetworks;
import io.switchback.testkit.ZooKeeperEnsemble;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The chaos that anyone can run: {@code bench/chaos}. Its rounds add up in a campaign: a file with a line for each, which says the seed, the
 * commit, what was done and how it ended; the next run goes on with the next seed.
 */
public final class Chaos {
    private static final int ROUNDS_DEFAULT = 3;
    private static final Duration TIME_DEFAULT = Duration.ofSeconds(20);
    private static final int LEDGER_MEMBERS = 3;

    private static final String HELP = """
            Usage: bench/chaos [--rounds N] [--seconds S] [--seed SEED] [--campaign FILE] [--keep]

            Three nodes, a ledger of three members, real servers and clients; processes are killed, stopped and cut off at
            random moments of a release that goes forward and back. Then everything is healed, and every client's history
            is checked: nothing lost, nothing twice, no release stuck; subscribers who stayed have heard every message once, and of
            a queue each element was popped once by those who wait for it.

              --rounds N        so many rounds (3)
              --seconds S       of faults in each (20)
              --seed SEED       of the first round; the next ones follow (1, or the one after the campaign's last)
              --links apply     moves to the older version first, so that the links apply; relay otherwise
              --campaign FILE   adds a line for each round
              --keep            keeps the folder of a round that went wrong, with the nodes' logs
              --events          says what was done and when, of every round; otherwise only where one went wrong
              --shared-network  never gives nodes a network of their own; without it they have one where this user may make
                                network namespaces, and are cut off there as well

            Exit codes: 0 all held, 1 something did not, 2 a mistake on the command line.
            """;

    private final PrintStream out = System.out;
    private int rounds = ROUNDS_DEFAULT;
    private Duration time = TIME_DEFAULT;
    private long seed = -1;
    private Path campaign;
    private boolean apply;
    private boolean keep;
    private boolean events;

    private Chaos() {
        this.campaign = Path.of("");
    }

    /**
     * Arguments: the commit that is tested; whether this process has a {@code private} network, with nothing in it yet, or a {@code shared}
     * one; and those of {@link #HELP}.
     */
    public static void main(String[] arguments) throws IOException {
        Chaos chaos = new Chaos();
        chaos.options(new ArrayDeque<>(List.of(arguments).subList(2, arguments.length)));
        System.exit(chaos.run(arguments[0], arguments[1].equals("private")));
    }

    private void options(Deque<String> options) throws IOException {
        while (!options.isEmpty()) {
            String option = options.remove();
            switch (option) {
                case "--rounds" -> rounds = Integer.parseInt(valueOf(option, options));
                case "--seconds" -> time = Duration.ofSeconds(Long.parseLong(valueOf(option, options)));
                case "--seed" -> seed = Long.parseLong(valueOf(option, options));
                case "--links" -> apply = isApply(valueOf(option, options));
                case "--campaign" -> campaign = Path.of(valueOf(option, options));
                case "--keep" -> keep = true;
                case "--events" -> events = true;
                case "--shared-network" -> {} // the script has read it
                case "--help", "-h" -> end(System.out, "", 0);
                default -> end(System.err, "chaos: there is no option " + option + "\n", 2);
            }
        }
        if (seed < 0) {
            seed = CampaignFiles.nextSeed(campaign);
        }
    }

    private static boolean isApply(String kind) {
        if (!kind.equals("apply") && !kind.equals("relay")) {
            end(System.err, "chaos: --links is relay or apply, not " + kind + "\n", 2);
        }
        return kind.equals("apply");
    }

    private boolean hasCampaign() {
        return !campaign.toString().isEmpty();
    }

    private static String valueOf(String option, Deque<String> rest) {
        if (rest.isEmpty()) {
            end(System.err, "chaos: " + option + " needs a value\n", 2);
        }
        return rest.remove();
    }

    private static void end(PrintStream to, String mistake, int code) {
        to.print(mistake + HELP);
        to.flush();
        System.exit(code);
    }

    private int run(String commit, boolean privateNetwork) throws IOException {
        if (!privateNetwork) {
            return run(commit, null);
        }
        try (NodeNetworks networks = NodeNetworks.open(ChaosRound.NODES)) {
            out.println("chaos: each node has a network namespace of its own");
            return run(commit, networks);
        }
    }

    private int run(String commit, @Nullable NodeNetworks networks) throws IOException {
        Path folder = Files.createTempDirectory("switchback-chaos-");
        int failures = 0;
        try (ZooKeeperEnsemble ensemble =
                ZooKeeperEnsemble.start(LEDGER_MEMBERS, Files.createDirectory(folder.resolve("ledger")))) {
            for (int round = 1; round <= rounds; round++, seed++) {
                Path own = Files.createDirectory(folder.resolve("round-" + seed));
                ChaosRound.Outcome outcome = round(ensemble, networks, own);
                out.printf(
                        "chaos: round %d of %d, seed %d, %s: %s; %d faults, %d orders, %d switches, %d answers, %d errors,"
                                + " %d writes checked, %d messages heard, %d elements popped, %.0f s%n",
                        round,
                        rounds,
                        outcome.seed(),
                        outcome.protocol(),
                        outcome.problem().isEmpty() ? "held" : "BROKEN: " + outcome.problem(),
                        outcome.faults(),
                        outcome.orders(),
                        outcome.switches(),
                        outcome.answers(),
                        outcome.errors(),
                        outcome.checked(),
                        outcome.messages(),
                        outcome.elements(),
                        outcome.seconds());
                if (!outcome.problem().isEmpty()) {
                    failures++;
                }
                if (events || !outcome.problem().isEmpty()) {
                    outcome.events().forEach(event -> out.println("    " + event));
                }
                record(commit, networks != null, outcome);
                if (outcome.problem().isEmpty() || !keep) {
                    CampaignFiles.delete(own);
                }
            }
        }
        if (failures == 0 || !keep) {
            CampaignFiles.delete(folder);
        } else {
            out.println("chaos: what went wrong is in " + folder);
        }
        out.printf("chaos: %d of %d rounds held%n", rounds - failures, rounds);
        return failures == 0 ? 0 : 1;
    }

    private ChaosRound.Outcome round(ZooKeeperEnsemble ensemble, @Nullable NodeNetworks networks, Path folder) {
        try (ChaosRound round = new ChaosRound(seed, apply, ensemble, networks, folder)) {
            return round.run(time);
        }
    }

    private void record(String commit, boolean ownNetworks, ChaosRound.Outcome outcome) throws IOException {
        if (!hasCampaign()) {
            return;
        }
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("seed", outcome.seed());
        line.put("commit", commit);
        line.put("at", Instant.now().toString());
        line.put("seconds", time.toSeconds());
        line.put("network", ownNetworks ? "private" : "shared");
        line.put("protocol", outcome.protocol());
        line.put("links", apply ? "apply" : "relay");
        line.put("held", outcome.problem().isEmpty());
        line.put("problem", outcome.problem());
        line.put("faults", outcome.faults());
        line.put("orders", outcome.orders());
        line.put("switches", outcome.switches());
        line.put("answers", outcome.answers());
        line.put("errors", outcome.errors());
        line.put("checked", outcome.checked());
        line.put("messages", outcome.messages());
        line.put("elements", outcome.elements());
        CampaignFiles.append(campaign, line);
    }
}
