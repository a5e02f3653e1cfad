package io.switchback.config;

import java.nio.charset.StandardCharsets;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A host (name, IPv4, or IPv6 without its brackets) and a port as a person writes them: {@code 127.0.0.1:6379}, {@code [::1]:6379}. Where a key takes
 * one, a Unix socket as well: {@code unix:/run/cache.sock}, whose path stands in place of the host, with port 0.
 */
public record HostPort(String host, int port) {
    private static final int PORT_MAX = 65_535;
    private static final String UNIX = "unix:";
    /** As much as systems take (sun_path in unix(7), on macOS 104 with its end). */
    private static final int SOCKET_PATH_BYTES_MAX = 103;

    private static final Pattern FORM = Pattern.compile(
            "(?:\\[([0-9A-Fa-f:.]+(?:%[\\w.-]+)?)]|([A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?)):([0-9]{1,5})");

    /** What {@code text} says, or empty where it is no host and port; {@code portMin} is 0 where any free port may be asked for. */
    static Optional<HostPort> parse(String text, int portMin) {
        Matcher matcher = FORM.matcher(text);
        if (!matcher.matches()) {
            return Optional.empty();
        }
        int port = Integer.parseInt(matcher.group(3));
        if (port < portMin || port > PORT_MAX) {
            return Optional.empty();
        }
        String bracketed = matcher.group(1);
        return Optional.of(new HostPort(bracketed == null ? matcher.group(2) : bracketed, port));
    }

    /** As {@link #parse}, or a Unix socket by its absolute path. */
    static Optional<HostPort> parseWithSockets(String text, int portMin) {
        if (!text.startsWith(UNIX)) {
            return parse(text, portMin);
        }
        String path = text.substring(UNIX.length());
        boolean fits = path.getBytes(StandardCharsets.UTF_8).length <= SOCKET_PATH_BYTES_MAX;
        return path.startsWith("/") && !path.endsWith("/") && fits
                ? Optional.of(new HostPort(path, 0))
                : Optional.empty();
    }

    @Override
    public String toString() {
        if (host.startsWith("/")) {
            return UNIX + host;
        }
        return host.indexOf(':') >= 0 ? "[" + host + "]:" + port : host + ":" + port;
    }
}
