package io.switchback.testkit;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import redis.clients.jedis.Jedis;

/** Any command through a Jedis client, with replies as plain Java values. */
public final class Replies {
    private Replies() {}

    /** Strings as String (UTF-8), numbers as Long, nil as null, arrays as List; an error is thrown. */
    public static @Nullable Object call(Jedis client, String... arguments) {
        byte[][] rest = new byte[arguments.length - 1][];
        for (int i = 1; i < arguments.length; i++) {
            rest[i - 1] = arguments[i].getBytes(StandardCharsets.UTF_8);
        }
        byte[] name = arguments[0].getBytes(StandardCharsets.UTF_8);
        return plain(client.sendCommand(() -> name, rest));
    }

    private static @Nullable Object plain(@Nullable Object reply) {
        return switch (reply) {
            case byte[] bytes -> new String(bytes, StandardCharsets.UTF_8);
            case List<?> items -> {
                List<@Nullable Object> values = new ArrayList<>(items.size());
                items.forEach(item -> values.add(plain(item)));
                yield values;
            }
            case null -> null;
            default -> reply;
        };
    }
}
