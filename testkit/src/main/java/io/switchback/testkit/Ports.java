package io.switchback.testkit;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.util.concurrent.ThreadLocalRandom;

/** Ports of the loopback address that nobody listens on at the moment of asking. Any thread. */
public final class Ports {
    // Below the range from which Linux takes the ports of outgoing connections, so that none is in the way of a
    // restart.
    private static final int PORT_MIN = 10_240;
    private static final int PORT_MAX = 32_700;
    private static final int ATTEMPTS_MAX = 200;

    /** How far above its port a node of a cluster has its bus where nobody says otherwise (Redis Cluster specification). */
    private static final int BUS_DISTANCE = 10_000;

    private Ports() {}

    /** One of them, below those that the system itself gives to outgoing connections. */
    public static int free() {
        for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
            int candidate = ThreadLocalRandom.current().nextInt(PORT_MIN, PORT_MAX);
            if (isFree(candidate)) {
                return candidate;
            }
        }
        throw none();
    }

    /** As {@link #free}, for a node of a cluster: the port of its bus is free too. */
    public static int freeWithBus() {
        for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
            int candidate = ThreadLocalRandom.current().nextInt(PORT_MIN, PORT_MAX - BUS_DISTANCE);
            if (isFree(candidate) && isFree(candidate + BUS_DISTANCE)) {
                return candidate;
            }
        }
        throw none();
    }

    private static boolean isFree(int port) {
        try (ServerSocket socket = new ServerSocket()) {
            socket.setReuseAddress(true);
            socket.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
            return true;
        } catch (IOException e) {
            return false; // another one may be
        }
    }

    private static IllegalStateException none() {
        return new IllegalStateException("No free port between " + PORT_MIN + " and " + PORT_MAX + " was found");
    }
}
