package io.switchback.fleet;

import io.switchback.resp.Reply;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Which server this is, by its own word (INFO server). Versions of different products have no order; ask by
 * {@link #isAtLeast}.
 */
public record ServerVersion(Product product, int major, int minor, int patch) {
    private static final Pattern NUMBER = Pattern.compile("(\\d+)\\.(\\d+)(?:\\.(\\d+))?.*");

    /** Who makes the server. */
    public enum Product {
        REDIS,
        /** Forked from Redis 7.2.4, so that everything up to Redis 7.2 is known to it. */
        VALKEY
    }

    /** Asks the server. */
    public static ServerVersion read(ServerConnection connection) {
        return fromInfo(connection.demand("INFO", "server"));
    }

    /** From the text of INFO server. Valkey says a {@code redis_version} too, for old clients: its own comes first. */
    public static ServerVersion fromInfo(Reply info) {
        String redis = "";
        String valkey = "";
        for (String line : info.text().lines().toList()) {
            if (line.startsWith("redis_version:")) {
                redis = line.substring("redis_version:".length()).strip();
            } else if (line.startsWith("valkey_version:")) {
                valkey = line.substring("valkey_version:".length()).strip();
            }
        }
        return valkey.isEmpty() ? parse(Product.REDIS, redis) : parse(Product.VALKEY, valkey);
    }

    /** From INFO server, alone or among more. */
    public static ServerVersion of(InfoReport info) {
        return info.has("valkey_version")
                ? parse(Product.VALKEY, info.text("valkey_version"))
                : parse(Product.REDIS, info.text("redis_version"));
    }

    /** From a version number such as {@code 7.0.15}; a missing patch is 0. */
    public static ServerVersion parse(Product product, String number) {
        Matcher matcher = NUMBER.matcher(number);
        if (!matcher.matches()) {
            throw new FleetException(
                    FleetException.Code.REFUSED,
                    "expected a version number such as 7.0.15 in INFO server, found \"" + number
                            + "\"; is this a Redis or Valkey server?");
        }
        String patch = matcher.group(3);
        return new ServerVersion(
                product,
                Integer.parseInt(matcher.group(1)),
                Integer.parseInt(matcher.group(2)),
                patch == null ? 0 : Integer.parseInt(patch));
    }

    /** Whether this is {@code major.minor} or newer, of whatever product. */
    public boolean isAtLeast(int major, int minor) {
        return this.major > major || (this.major == major && this.minor >= minor);
    }

    @Override
    public String toString() {
        return product.name().toLowerCase(Locale.ROOT) + " " + major + "." + minor + "." + patch;
    }
}
