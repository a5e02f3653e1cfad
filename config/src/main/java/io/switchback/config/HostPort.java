package io.switchback.config;

import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A host (name, IPv4, or IPv6 without its brackets) and a port as a person writes them: {@code 127.0.0.1:6379}, {@code [::1]:6379}. */
public record HostPort(String host, int port) {
    private static final int PORT_MAX = 65_535;
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

    @Override
    public String toString() {
        return host.indexOf(':') >= 0 ? "[" + host + "]:" + port : host + ":" + port;
    }
}
