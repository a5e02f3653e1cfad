package io.switchback.server;

import io.switchback.environment.Environment;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.LedgerException;
import io.switchback.ledger.Member;
import io.switchback.ledger.Members;
import io.switchback.ledger.Watch;
import io.switchback.peers.PeerHandler;
import io.switchback.peers.PeerNetwork;
import io.switchback.peers.PeerSecret;
import io.switchback.release.Nodes;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The nodes of a common ledger, which finds them: each has registered the address that it listens on. Thread-safe. */
final class PeerNodes implements Nodes, AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(PeerNodes.class);

    private final Member self;
    private final PeerNetwork network;
    private final Watch watch;
    private final Runnable superseded;

    /** Where the members listen, as far as this node knows. */
    private static final class Directory {
        private volatile Map<String, InetSocketAddress> addresses = Map.of();

        void read(Members.Roster roster) {
            Map<String, InetSocketAddress> read = new HashMap<>();
            for (Member member : roster.members()) {
                int colon = member.address().lastIndexOf(':');
                if (colon > 0) {
                    // Unresolved: looking a name up may take long, and is the network's business when it connects.
                    read.put(
                            member.node(),
                            InetSocketAddress.createUnresolved(
                                    member.address().substring(0, colon),
                                    Integer.parseInt(member.address().substring(colon + 1))));
                }
            }
            addresses = Map.copyOf(read);
        }

        Optional<InetSocketAddress> of(String node) {
            return Optional.ofNullable(addresses.get(node));
        }
    }

    private PeerNodes(Member self, PeerNetwork network, Watch watch, Runnable superseded) {
        this.self = self;
        this.network = network;
        this.watch = watch;
        this.superseded = superseded;
    }

    /**
     * Listens for the other nodes; answers from now on. Is no member yet.
     *
     * @param listen port 0 for any free one
     * @param superseded what is to be done once another process has taken the name; must not block
     */
    static PeerNodes open(
            String node,
            String incarnation,
            List<String> caches,
            Map<String, String> announced,
            boolean holdsWithoutLedger,
            InetSocketAddress listen,
            PeerSecret secret,
            Ledger ledger,
            PeerHandler handler,
            Runnable superseded,
            Environment environment) {
        Directory directory = new Directory();
        Members members = new Members(ledger);
        PeerNetwork network;
        try {
            network = PeerNetwork.open(node, listen, secret, directory::of, handler, environment);
        } catch (IOException e) {
            throw new NodeException(
                    "node \"" + node + "\" cannot listen for the other nodes: " + e.getMessage()
                            + "; is the address at \"peers\" this machine's, and free?",
                    e);
        }
        String address = listen.getHostString() + ":" + network.address().getPort();
        Watch watch = ledger.watch("members", () -> {
            try {
                directory.read(members.roster());
            } catch (LedgerException e) {
                LOG.warn("the members cannot be read; the known ones stay: {}", e.getMessage());
            }
        });
        directory.read(members.roster());
        return new PeerNodes(
                new Member(node, incarnation, address, caches, announced, holdsWithoutLedger),
                network,
                watch,
                superseded);
    }

    @Override
    public Member self() {
        return self;
    }

    @Override
    public boolean isShared() {
        return true;
    }

    @Override
    public void superseded() {
        superseded.run();
    }

    @Override
    public CompletableFuture<byte[]> ask(String node, String subject, byte[] question, Duration limit) {
        return network.ask(node, subject, question, limit);
    }

    @Override
    public void close() {
        watch.close();
        network.close();
    }
}
