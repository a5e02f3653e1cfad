package io.switchback.server;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.fleet.Endpoint;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.LedgerException;
import io.switchback.ledger.Member;
import io.switchback.ledger.Members;
import io.switchback.ledger.Watch;
import io.switchback.proxy.CacheProxy;
import io.switchback.proxy.PresentedNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Tells a cache's proxy which nodes cluster clients can go to: the registered ones that serve the cache, say where, and can be heard of. Only for getting on: a
 * node serves whoever comes, so what is told may be late; where the ledger does not answer, what was known stays.
 *
 * <p>Reads on the ledger's threads, one after the other.
 */
final class PresentedNodes implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(PresentedNodes.class);

    private final String cache;
    private final CacheProxy proxy;
    private final Ledger ledger;
    private final List<Watch> watches = new ArrayList<>();
    private List<PresentedNode> told = List.of();

    private PresentedNodes(String cache, CacheProxy proxy, Ledger ledger) {
        this.cache = cache;
        this.proxy = proxy;
        this.ledger = ledger;
    }

    static PresentedNodes watch(String cache, CacheProxy proxy, Ledger ledger) {
        PresentedNodes nodes = new PresentedNodes(cache, proxy, ledger);
        nodes.watches.add(ledger.watch("members", nodes::look));
        nodes.watches.add(ledger.watch(Ledger.PRESENCE, nodes::look));
        nodes.look();
        return nodes;
    }

    private synchronized void look() {
        try {
            List<PresentedNode> now = living();
            if (!now.equals(told)) {
                proxy.present(now);
                LOG.info("cache {}: cluster clients are told of {}", cache, now);
                told = now;
            }
        } catch (LedgerException e) {
            LOG.warn(
                    "cache {}: it cannot be read which nodes there are, so cluster clients are told as before: {}",
                    cache,
                    e.getMessage());
        }
    }

    private List<PresentedNode> living() {
        Map<String, byte[]> there = ledger.announced();
        List<PresentedNode> nodes = new ArrayList<>();
        for (Member member : new Members(ledger).roster().members()) {
            byte[] incarnation = there.get(member.node());
            boolean isThere = incarnation != null && member.incarnation().equals(new String(incarnation, UTF_8));
            String address = member.announced().get(cache);
            if (isThere && address != null) {
                nodes.add(new PresentedNode(member.node(), endpoint(address)));
            }
        }
        return nodes;
    }

    /** As {@link Endpoint#toString} writes it. */
    private static Endpoint endpoint(String address) {
        int colon = address.lastIndexOf(':');
        String host = address.substring(0, colon);
        boolean isBracketed = host.startsWith("[");
        return new Endpoint(
                isBracketed ? host.substring(1, host.length() - 1) : host,
                Integer.parseInt(address.substring(colon + 1)));
    }

    @Override
    public void close() {
        watches.forEach(Watch::close);
    }
}
