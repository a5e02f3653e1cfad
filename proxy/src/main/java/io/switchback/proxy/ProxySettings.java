package io.switchback.proxy;

import io.switchback.fleet.Endpoint;
import java.util.List;

/**
 * How a cache is served.
 *
 * @param cache the cache's name, for messages
 * @param node this node's name, for messages
 * @param listen where clients connect; port 0 takes a free one
 * @param loops event loops; 0 for one to two processors: the other half is for the kernel's part of the work, which is the greater one
 */
public record ProxySettings(String cache, String node, List<Endpoint> listen, int loops, ProxyLimits limits) {
    public ProxySettings {
        listen = List.copyOf(listen);
    }

    /** With one loop to two processors and the default limits. */
    public ProxySettings(String cache, String node, List<Endpoint> listen) {
        this(cache, node, listen, 0, ProxyLimits.DEFAULT);
    }
}
