package io.switchback.proxy;

import io.switchback.fleet.Endpoint;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeSet;

/**
 * How a cache is served.
 *
 * @param cache the cache's name, for messages
 * @param node this node's name, for messages
 * @param listen where clients connect; port 0 takes a free one
 * @param loops event loops; 0 for one to two processors: the other half is for the kernel's part of the work, which is the greater one
 * @param tls empty where all clients speak in the clear
 * @param socketMode who may connect to a Unix socket
 * @param announce what clients that ask for a cluster's nodes or for a primary are told that this node's address is; empty for the one that they have come by
 * @param primaryNames under which clients may ask for a primary as they would ask sentinels: the cache's name is always among them
 */
public record ProxySettings(
        String cache,
        String node,
        List<Endpoint> listen,
        int loops,
        ProxyLimits limits,
        Optional<ListenerTls> tls,
        Set<PosixFilePermission> socketMode,
        Optional<Endpoint> announce,
        SortedSet<String> primaryNames) {
    /** The owner's alone. */
    public static final Set<PosixFilePermission> SOCKET_MODE = Set.copyOf(PosixFilePermissions.fromString("rwx------"));

    public ProxySettings {
        listen = List.copyOf(listen);
        socketMode = Set.copyOf(socketMode);
        SortedSet<String> names = new TreeSet<>(primaryNames);
        names.add(cache);
        primaryNames = Collections.unmodifiableSortedSet(names);
    }

    /** In the clear. */
    public ProxySettings(String cache, String node, List<Endpoint> listen, int loops, ProxyLimits limits) {
        this(cache, node, listen, loops, limits, Optional.empty(), SOCKET_MODE);
    }

    /** Announced is the address that a client has come by. */
    public ProxySettings(
            String cache,
            String node,
            List<Endpoint> listen,
            int loops,
            ProxyLimits limits,
            Optional<ListenerTls> tls,
            Set<PosixFilePermission> socketMode) {
        this(cache, node, listen, loops, limits, tls, socketMode, Optional.empty(), new TreeSet<>());
    }

    /** With one loop to two processors and the default limits. */
    public ProxySettings(String cache, String node, List<Endpoint> listen) {
        this(cache, node, listen, 0, ProxyLimits.DEFAULT);
    }

    /** The same, where clients may speak TLS. */
    public ProxySettings with(ListenerTls with) {
        return new ProxySettings(cache, node, listen, loops, limits, Optional.of(with), socketMode);
    }
}
