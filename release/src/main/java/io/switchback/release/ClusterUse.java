package io.switchback.release;

import io.switchback.ledger.Members;
import io.switchback.proxy.ClusterObstacles;
import io.switchback.proxy.ClusterObstacles.DatabaseUse;
import io.switchback.proxy.ClusterObstacles.Obstacle;
import io.switchback.release.ReleaseState.Side;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletionException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What clients of all nodes do that a cluster would refuse, where a cache is to be moved to one: found in their traffic, before they find it. For the release's own
 * thread.
 */
final class ClusterUse {
    /** Asked of a node: begins to watch its clients, and tells what was seen since. */
    static final String SUBJECT = "cluster/use";
    /** What is said of each node; the others are counted. */
    private static final int SAID_MAX = 5;

    private static final Logger LOG = LoggerFactory.getLogger(ClusterUse.class);
    private static final Duration NODE_LIMIT = Duration.ofSeconds(3);

    private final Nodes nodes;
    private final Members members;

    /**
     * @param release for which it is asked; what was seen for another one does not count
     * @param afresh whether what was seen before is forgotten, once it is told
     */
    record Question(String release, String cache, boolean afresh) {}

    record Answer(ClusterObstacles seen) {}

    /**
     * Sentences for a person.
     *
     * @param certain of commands that a cluster refuses
     * @param possible of those that it may refuse
     */
    record Findings(List<String> certain, List<String> possible) {}

    ClusterUse(Nodes nodes, Members members) {
        this.nodes = nodes;
        this.members = members;
    }

    /** Whether clients might meet what they have not met before. */
    static boolean isOfInterest(MovingCache cache) {
        return cache.fleet(Side.NEW).isCluster() && !cache.fleet(Side.OLD).isCluster();
    }

    /** Asks every node that serves the cache; one that does not answer says nothing. */
    Findings look(String release, String cache, boolean afresh) {
        byte[] question = ReleaseStore.bytes(new Question(release, cache, afresh));
        List<String> certain = new ArrayList<>();
        List<String> possible = new ArrayList<>();
        nodes.askThoseWhoServe(cache, members.roster().members(), SUBJECT, question, NODE_LIMIT)
                .forEach((member, answer) -> {
                    try {
                        ClusterObstacles seen =
                                ReleaseStore.value(answer.join(), Answer.class).seen();
                        say(member.node(), seen, certain, possible);
                    } catch (CompletionException e) {
                        LOG.info(
                                "node {} does not say what its clients do: {}",
                                member.node(),
                                String.valueOf(e.getCause()));
                    }
                });
        return new Findings(List.copyOf(certain), List.copyOf(possible));
    }

    private static void say(String node, ClusterObstacles seen, List<String> certain, List<String> possible) {
        String clients = "clients of node " + node;
        add(
                certain,
                clients,
                seen.commands().stream().filter(one -> one.why().isCertain()).toList());
        add(
                possible,
                clients,
                seen.commands().stream().filter(one -> !one.why().isCertain()).toList());
        for (DatabaseUse database : seen.databases()) {
            certain.add(clients + " use database " + database.number() + " (" + database.clients()
                    + " are in it now), and a cluster has database 0 alone");
        }
        if (seen.notKept() > 0) {
            certain.add(clients + " do more that a cluster would refuse than is kept (" + seen.notKept() + " times)");
        }
    }

    private static void add(List<String> into, String clients, List<Obstacle> obstacles) {
        obstacles.stream()
                .limit(SAID_MAX)
                .map(one -> clients + " sent " + one.command() + " " + one.times() + " times: "
                        + one.why().words()
                        + (one.keys().isEmpty() ? "" : ", such as " + String.join(" and ", one.keys())))
                .forEach(into::add);
        if (obstacles.size() > SAID_MAX) {
            into.add(clients + " sent " + (obstacles.size() - SAID_MAX) + " more kinds of commands of that sort");
        }
    }
}
