package io.switchback.testkit;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * A network for each of several nodes: Linux network namespaces, each with a virtual cable to a bridge in the namespace of this process. A cut
 * is silent there, as that of a switch or a cable is: packets go nowhere, and no connection hears of it.
 *
 * <p>Nothing but loopback addresses is used, so nothing of it can be reached from outside: this process keeps 127.0.0.1, where every node finds the
 * servers; node {@code k} has 127.77.0.k. This process must have a network namespace of its own, with nothing in it yet ({@code unshare --net}), and
 * the rights to change it; everything goes away with it. Linux, iproute2 and util-linux. For one thread.
 */
public final class NodeNetworks implements AutoCloseable {
    private static final String HUB = "127.77.0.254";
    /** Lets addresses of 127/8 travel over other devices than lo. */
    private static final List<String> LOOPBACK_ON_CABLES =
            List.of("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet");

    private static final int NODES_MAX = 200;
    private static final Duration COMMAND_LIMIT = Duration.ofSeconds(10);
    /** As long as anybody uses it; it ends with this process anyway. */
    private static final String HOLDER_SECONDS = "86400";

    private final List<Process> holders = new ArrayList<>();
    private final List<List<String>> cuts = new ArrayList<>();

    private NodeNetworks() {}

    /** Sets up the network of this process and those of the nodes. */
    public static NodeNetworks open(int nodes) {
        if (nodes < 1 || nodes > NODES_MAX) {
            throw new IllegalArgumentException(nodes + " networks: expected 1 to " + NODES_MAX);
        }
        NodeNetworks networks = new NodeNetworks();
        try {
            networks.makeHub();
            for (int node = 1; node <= nodes; node++) {
                networks.makeNode(node);
            }
            return networks;
        } catch (RuntimeException | Error e) {
            networks.close();
            throw e;
        }
    }

    /** Where a node listens; nodes are numbered from 1. */
    public String address(int node) {
        return "127.77.0." + node;
    }

    /** What to put before a command so that it runs in a node's network; the process that is started is the command's own. */
    public List<String> entering(int node) {
        return List.of("nsenter", "--net=" + namespace(node), "--");
    }

    /** Nothing reaches this node any more, and nothing of it anybody. */
    public void cutOff(int node) {
        run(List.of("bridge", "link", "set", "dev", cable(node), "state", "0"));
        cuts.add(List.of("bridge", "link", "set", "dev", cable(node), "state", "3"));
    }

    /** What a server at this process's 127.0.0.1 sends to this node gets lost: the node asks, and hears nothing. */
    public void cutFrom(int node, int serverPort) {
        List<String> rule = List.of(
                "from",
                "127.0.0.1",
                "to",
                address(node),
                "ipproto",
                "tcp",
                "sport",
                Integer.toString(serverPort),
                "blackhole");
        run(joined(List.of("ip", "rule", "add"), rule));
        cuts.add(joined(List.of("ip", "rule", "del"), rule));
    }

    /** What one node sends to another gets lost; what the other one sends arrives. */
    public void cutBetween(int node, int other) {
        List<String> rule = List.of("to", address(other), "blackhole");
        run(joined(joined(entering(node), List.of("ip", "rule", "add")), rule));
        cuts.add(joined(joined(entering(node), List.of("ip", "rule", "del")), rule));
    }

    /** Undoes every cut. */
    public void heal() {
        while (!cuts.isEmpty()) {
            run(cuts.removeLast());
        }
    }

    @Override
    public void close() {
        for (Process holder : holders) {
            holder.destroyForcibly();
            ChildProcesses.ended(holder);
        }
    }

    private void makeHub() {
        run(LOOPBACK_ON_CABLES);
        for (String command : List.of(
                "ip link set dev lo up",
                // All of 127/8 is its own at first; the nodes' part of it is to be found over the bridge.
                "ip addr del 127.0.0.1/8 dev lo",
                "ip addr add 127.0.0.1/32 dev lo",
                "ip link add hub type bridge",
                "ip addr add " + HUB + "/24 dev hub scope global",
                "ip link set dev hub up")) {
            run(words(command));
        }
    }

    private void makeNode(int node) {
        holders.add(started(List.of("unshare", "--net", "sleep", HOLDER_SECONDS)));
        awaitNamespace(node);
        long pid = holders.getLast().pid();
        for (String command : List.of(
                "ip link add " + cable(node) + " type veth peer name eth0",
                "ip link set dev eth0 netns " + pid,
                "ip link set dev " + cable(node) + " master hub",
                "ip link set dev " + cable(node) + " up")) {
            run(words(command));
        }
        run(joined(entering(node), LOOPBACK_ON_CABLES));
        for (String command : List.of(
                "ip link set dev lo up",
                "ip addr del 127.0.0.1/8 dev lo",
                "ip addr add " + address(node) + "/24 dev eth0 scope global",
                "ip link set dev eth0 up",
                "ip route add 127.0.0.1/32 via " + HUB + " src " + address(node))) {
            run(joined(entering(node), words(command)));
        }
    }

    /** The namespace is there a moment after the process that holds it. */
    private void awaitNamespace(int node) {
        String own = identity("/proc/self/ns/net");
        Await.until(
                COMMAND_LIMIT,
                "the network namespace of node " + node,
                () -> !identity(namespace(node)).equals(own));
    }

    private static String identity(String path) {
        try {
            return Files.readSymbolicLink(Path.of(path)).toString();
        } catch (IOException e) {
            throw new UncheckedIOException("The network namespace of a process cannot be read", e);
        }
    }

    private String namespace(int node) {
        return "/proc/" + holders.get(node - 1).pid() + "/ns/net";
    }

    private static String cable(int node) {
        return "node" + node;
    }

    private static List<String> words(String command) {
        return List.of(command.split(" "));
    }

    private static List<String> joined(List<String> first, List<String> second) {
        List<String> all = new ArrayList<>(first);
        all.addAll(second);
        return List.copyOf(all);
    }

    private static Process started(List<String> command) {
        try {
            Process started =
                    new ProcessBuilder(command).redirectErrorStream(true).start();
            ChildProcesses.started(started);
            return started;
        } catch (IOException e) {
            throw new UncheckedIOException("The program " + command.getFirst() + " could not be run", e);
        }
    }

    private static void run(List<String> command) {
        Process process = started(command);
        try {
            String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            if (!process.waitFor(COMMAND_LIMIT.toMillis(), TimeUnit.MILLISECONDS) || process.exitValue() != 0) {
                throw new IllegalStateException(String.join(" ", command) + ": " + said.strip());
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("Interrupted in the middle of " + String.join(" ", command), e);
        } finally {
            ChildProcesses.ended(process);
        }
    }
}
