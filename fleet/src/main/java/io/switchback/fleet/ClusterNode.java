package io.switchback.fleet;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * One line of CLUSTER NODES, as Redis 6.0 to 8 and Valkey 8 and 9 write it (their documentation of CLUSTER NODES).
 *
 * @param server where it listens; empty where whoever was asked does not know (yet, or any more)
 * @param primaryId whom it follows; "-" for a primary
 * @param epoch the configuration epoch of its slots
 * @param slots pairs of first and last; those that are just moving are with the one that has them still
 */
record ClusterNode(
        String id, Optional<Endpoint> server, Set<String> flags, String primaryId, long epoch, List<int[]> slots) {

    /** All lines; a {@link FleetException} where it is none. */
    static List<ClusterNode> parse(Endpoint from, String text) {
        List<ClusterNode> nodes = new ArrayList<>();
        text.lines().filter(line -> !line.isBlank()).forEach(line -> {
            try {
                nodes.add(parse(line, from));
            } catch (IllegalArgumentException | IndexOutOfBoundsException e) {
                throw new FleetException(
                        FleetException.Code.REFUSED,
                        from + " says in CLUSTER NODES what cannot be read: \"" + line + "\"",
                        e);
            }
        });
        return nodes;
    }

    private static ClusterNode parse(String line, Endpoint from) {
        String[] words = line.split(" ", -1);
        Set<String> flags = Set.of(words[2].split(",", -1));
        List<int[]> slots = new ArrayList<>();
        for (int i = 8; i < words.length; i++) {
            if (!words[i].isEmpty() && !words[i].startsWith("[")) {
                slots.add(range(words[i]));
            }
        }
        return new ClusterNode(
                words[0], server(words[1], flags, from), flags, words[3], Long.parseLong(words[6]), List.copyOf(slots));
    }

    /** {@code ip:port@busport}, then from 7.0 on {@code ,hostname}, and later {@code ,name=value}. A node that was never told its address has none. */
    private static Optional<Endpoint> server(String word, Set<String> flags, Endpoint from) {
        String[] parts = word.split(",", -1);
        String address = parts[0].contains("@") ? parts[0].substring(0, parts[0].indexOf('@')) : parts[0];
        int colon = address.lastIndexOf(':');
        String host = address.substring(0, colon);
        int port = Integer.parseInt(address.substring(colon + 1));
        if (host.isEmpty() && parts.length > 1 && !parts[1].contains("=")) {
            host = parts[1];
        }
        if (host.isEmpty() && flags.contains("myself")) {
            host = from.host();
        }
        return host.isEmpty() || host.equals("?") || port == 0 || flags.contains("noaddr")
                ? Optional.empty()
                : Optional.of(new Endpoint(host, port));
    }

    private static int[] range(String word) {
        int dash = word.indexOf('-');
        int first = Integer.parseInt(dash < 0 ? word : word.substring(0, dash));
        int last = dash < 0 ? first : Integer.parseInt(word.substring(dash + 1));
        if (first < 0 || last < first || last >= Topology.SLOTS) {
            throw new IllegalArgumentException("no range of slots: " + word);
        }
        return new int[] {first, last};
    }

    boolean isMyself() {
        return flags.contains("myself");
    }

    boolean isPrimary() {
        return flags.contains("master");
    }

    /** Not (yet, or any more) one of the cluster's. */
    boolean isStranger() {
        return flags.contains("handshake") || flags.contains("noaddr");
    }
}
