package io.switchback.fleet;

import io.switchback.fleet.AskedServers.Answers;
import io.switchback.resp.Reply;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * Finds the primary of a fleet that sentinels watch (Redis documentation, "Guidelines for Redis clients with support for Redis Sentinel").
 *
 * <p>All sentinels are asked, and each server that one of them names is asked for its role. One server is believed to be the primary:
 *
 * <ul>
 *   <li>it says so itself: a sentinel that lags leads nobody to a replica;
 *   <li>at least half of the sentinels that answer name it; of two, the one with the greater epoch: a sentinel that lies leads nobody astray while
 *       the others know better;
 *   <li>in a failover it is enough that the sentinel which leads it names it: with a greater epoch than before, a replica of the one from before, which does not say any more that it
 *       is the primary. Sentinels raise the epoch once they have seen the replica promoted, and from there on never go back; the others hear of it a moment later;
 *   <li>where fewer than half of all sentinels answer, the one from before stays for as long as it says itself that it is a primary.
 * </ul>
 *
 * <p>In the middle of a failover there may be none; then the sighting has no topology. Two servers that both say so, in the moment before the former
 * primary is told, are told apart by the majority: what the former one still takes is lost, as it is for every client of a sentinel.
 *
 * <p>For one thread at a time.
 */
final class SentinelSight implements FleetSight {
    private final FleetSpec fleet;
    private final FleetAddress.Sentinel address;
    private final AskedServers sentinels;
    private final AskedServers servers;
    private @Nullable Endpoint known;
    private long knownEpoch;
    private Set<Endpoint> knownReplicas = Set.of();

    /** One sentinel's word. */
    private record Word(Endpoint primary, long epoch, List<Endpoint> replicas) {}

    /** A server that sentinels name. */
    private record Candidate(Endpoint server, int votes, long epoch) {}

    SentinelSight(FleetSpec fleet, FleetAddress.Sentinel address) {
        this.fleet = fleet;
        this.address = address;
        this.sentinels = new AskedServers(address.credential(), fleet.tls());
        this.servers = new AskedServers(fleet.credential(), fleet.tls());
    }

    @Override
    public Sighting look() {
        List<String> problems = new ArrayList<>();
        Answers<Word> words = sentinels.ask(address.sentinels(), this::word);
        words.failures().forEach((sentinel, why) -> problems.add("its sentinel " + sentinel + " is no help: " + why));
        List<Candidate> candidates = candidates(words.answers());
        Set<Endpoint> named = new HashSet<>();
        candidates.forEach(candidate -> named.add(candidate.server()));
        Endpoint before = known;
        boolean isMinority = words.answers().size() * 2 <= address.sentinels().size();
        if (before != null && isMinority) {
            named.add(before);
        }
        Answers<String> roles = servers.ask(named, SentinelSight::role);
        servers.keepOnly(named);
        roles.failures()
                .forEach((server, why) -> problems.add(server + ", a primary by its sentinels, is none: " + why));
        Map<Endpoint, String> said = roles.answers();
        if (before != null && isMinority && isPrimary(said, before)) {
            return seen(before, words.answers(), problems);
        }
        for (Candidate candidate : candidates) {
            if (!isPrimary(said, candidate.server())) {
                if (said.containsKey(candidate.server())) {
                    problems.add(candidate.server() + ", a primary by " + candidate.votes()
                            + " of its sentinels, says that it is a " + said.get(candidate.server()));
                }
            } else if (candidate.votes() * 2 >= words.answers().size() || isSuccessor(candidate, said)) {
                return seen(candidate.server(), words.answers(), problems);
            } else {
                problems.add(candidate.server() + " is a primary by " + candidate.votes()
                        + " of its sentinels alone, and the others say otherwise");
            }
        }
        return new Sighting(Optional.empty(), problems);
    }

    /** Whether a failover has come to where it is not taken back. */
    private boolean isSuccessor(Candidate candidate, Map<Endpoint, String> said) {
        Endpoint before = known;
        return before != null
                && knownReplicas.contains(candidate.server())
                && candidate.epoch() > knownEpoch
                && !isPrimary(said, before);
    }

    private Sighting seen(Endpoint primary, Map<Endpoint, Word> words, List<String> problems) {
        List<Word> ofPrimary = words.values().stream()
                .filter(word -> word.primary().equals(primary))
                .toList();
        if (!ofPrimary.isEmpty()) {
            knownEpoch = ofPrimary.stream().mapToLong(Word::epoch).max().orElseThrow();
        }
        if (!primary.equals(known) || !ofPrimary.isEmpty()) {
            knownReplicas =
                    ofPrimary.stream().flatMap(word -> word.replicas().stream()).collect(Collectors.toSet());
        }
        known = primary;
        List<Endpoint> replicas = ofPrimary.stream()
                .flatMap(word -> word.replicas().stream())
                .filter(replica -> !replica.equals(primary))
                .distinct()
                .sorted(Comparator.comparing(Endpoint::toString))
                .toList();
        return new Sighting(Optional.of(new Topology.Replicated(primary, replicas)), problems);
    }

    private static boolean isPrimary(Map<Endpoint, String> roles, Endpoint server) {
        return Objects.equals(roles.get(server), "master");
    }

    /** Most votes first, of equal ones the greater epoch. */
    private static List<Candidate> candidates(Map<Endpoint, Word> words) {
        Map<Endpoint, Candidate> candidates = new LinkedHashMap<>();
        words.values()
                .forEach(word -> candidates.merge(
                        word.primary(),
                        new Candidate(word.primary(), 1, word.epoch()),
                        (one, other) -> new Candidate(
                                one.server(), one.votes() + other.votes(), Math.max(one.epoch(), other.epoch()))));
        return candidates.values().stream()
                .sorted(Comparator.comparingInt(Candidate::votes)
                        .thenComparingLong(Candidate::epoch)
                        .reversed())
                .toList();
    }

    private Word word(ServerConnection sentinel) {
        Reply primary = sentinel.demand("SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.primary());
        if (!(primary instanceof Reply.Array(List<Reply> hostAndPort)) || hostAndPort.size() != 2) {
            throw new FleetException(
                    FleetException.Code.REFUSED,
                    "it knows no primary \"" + address.primary() + "\"; is the name in the node's file right"
                            + " (sentinel: { primary: NAME })?");
        }
        long epoch = number(fields(sentinel.demand("SENTINEL", "MASTER", address.primary())), "config-epoch");
        List<Endpoint> replicas = new ArrayList<>();
        if (sentinel.demand("SENTINEL", "REPLICAS", address.primary()) instanceof Reply.Array(List<Reply> each)) {
            each.stream()
                    .map(SentinelSight::fields)
                    .filter(SentinelSight::isUp)
                    .forEach(fields -> replicas.add(
                            new Endpoint(fields.getOrDefault("ip", ""), Math.toIntExact(number(fields, "port")))));
        }
        return new Word(endpoint(sentinel, hostAndPort), epoch, replicas);
    }

    private static Endpoint endpoint(ServerConnection sentinel, List<Reply> hostAndPort) {
        try {
            return new Endpoint(
                    hostAndPort.get(0).text(),
                    Integer.parseInt(hostAndPort.get(1).text()));
        } catch (NumberFormatException e) {
            throw new FleetException(
                    FleetException.Code.REFUSED, sentinel.endpoint() + " names a primary at " + hostAndPort, e);
        }
    }

    private static boolean isUp(Map<String, String> replica) {
        List<String> flags = List.of(replica.getOrDefault("flags", "").split(",", -1));
        return flags.stream().noneMatch(flag -> flag.endsWith("_down") || flag.equals("disconnected"))
                && "ok".equals(replica.get("master-link-status"));
    }

    private static Map<String, String> fields(Reply reply) {
        Map<String, String> fields = new HashMap<>();
        if (reply instanceof Reply.Array(List<Reply> words)) {
            for (int i = 0; i + 1 < words.size(); i += 2) {
                fields.put(words.get(i).text(), words.get(i + 1).text());
            }
        }
        return fields;
    }

    private static long number(Map<String, String> fields, String name) {
        try {
            return Long.parseLong(fields.getOrDefault(name, "0"));
        } catch (NumberFormatException e) {
            return 0;
        }
    }

    private static String role(ServerConnection server) {
        Reply role = server.demand("ROLE");
        return role instanceof Reply.Array(List<Reply> words) && !words.isEmpty()
                ? words.getFirst().text()
                : role.text();
    }

    /** In the words of a person. */
    @Override
    public String toString() {
        return "fleet " + fleet.name() + ", " + address;
    }

    @Override
    public void close() {
        sentinels.close();
        servers.close();
    }
}
