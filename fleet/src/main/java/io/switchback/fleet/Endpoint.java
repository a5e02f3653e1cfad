package io.switchback.fleet;

/**
 * Where a server listens: a host and a port, or a Unix socket on this machine, whose path stands in place of the host, with port 0.
 */
public record Endpoint(String host, int port) {
    private static final String UNIX = "unix:";

    /** A Unix socket, by its absolute path. */
    public static Endpoint unix(String path) {
        if (!path.startsWith("/")) {
            throw new IllegalArgumentException("a socket's path is absolute, not " + path);
        }
        return new Endpoint(path, 0);
    }

    /** Whether this is a Unix socket: no name and no address of a host begins with a slash. */
    public boolean isUnix() {
        return host.startsWith("/");
    }

    @Override
    public String toString() {
        if (isUnix()) {
            return UNIX + host;
        }
        return host.indexOf(':') >= 0 ? "[" + host + "]:" + port : host + ":" + port;
    }
}
