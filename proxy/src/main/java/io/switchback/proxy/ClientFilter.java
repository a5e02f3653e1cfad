package io.switchback.proxy;

import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * Which clients CLIENT LIST and CLIENT KILL mean. Source: https://redis.io/docs/latest/commands/client-kill/ and client-list.
 *
 * @param skipMe whether the client that asks is left out; null where it has not said
 */
record ClientFilter(
        List<Predicate<ClientSession>> all, @Nullable Boolean skipMe) {

    /** Says what is wrong with the words, as servers do. */
    static final class Mistake extends Exception {
        private static final long serialVersionUID = 1;

        Mistake(String error) {
            super(error);
        }

        String error() {
            return String.valueOf(getMessage());
        }
    }

    /** Reads the words of a command from {@code from} on. */
    static ClientFilter read(byte[][] command, int from) throws Mistake {
        // Of each kind the last one counts, as at the servers.
        Map<String, Predicate<ClientSession>> all = new HashMap<>();
        Boolean skipMe = null;
        int i = from;
        while (i < command.length) {
            if (i + 1 == command.length) {
                throw new Mistake("ERR syntax error");
            }
            String name = SessionCommands.word(command, i);
            String value = Wire.text(command[i + 1]);
            i += 2;
            switch (name) {
                case "ID" -> {
                    Set<Long> ids = new HashSet<>();
                    ids.add(id(value));
                    while (i < command.length && Wire.text(command[i]).matches("[0-9]+")) {
                        ids.add(id(Wire.text(command[i])));
                        i++;
                    }
                    all.put(name, session -> ids.contains(session.identity.id()));
                }
                case "ADDR" -> all.put(name, session -> session.address().equals(value));
                case "LADDR" -> all.put(name, session -> session.localAddress().equals(value));
                case "USER" -> all.put(name, session -> session.identity.user().equals(value));
                case "TYPE" -> all.put(name, type(value));
                case "MAXAGE" -> {
                    long seconds = seconds(value);
                    all.put(name, session -> session.ageSeconds() >= seconds);
                }
                case "SKIPME" -> {
                    String yesOrNo = value.toLowerCase(Locale.ROOT);
                    if (!yesOrNo.equals("yes") && !yesOrNo.equals("no")) {
                        throw new Mistake("ERR syntax error");
                    }
                    skipMe = yesOrNo.equals("yes");
                }
                default -> throw new Mistake("ERR syntax error");
            }
        }
        return new ClientFilter(List.copyOf(all.values()), skipMe);
    }

    private static long id(String value) throws Mistake {
        return positive(value, "client-id should be greater than 0", "client-id should be greater than 0");
    }

    private static long seconds(String value) throws Mistake {
        return positive(value, "maxage is not an integer or out of range", "maxage should be greater than 0");
    }

    /** A number as strictly as the servers take one. */
    private static long positive(String value, String noNumber, String notPositive) throws Mistake {
        if (!value.matches("0|-?[1-9][0-9]*")) {
            throw new Mistake("ERR " + noNumber);
        }
        try {
            long number = Long.parseLong(value);
            if (number > 0) {
                return number;
            }
        } catch (NumberFormatException e) {
            throw new Mistake("ERR " + noNumber);
        }
        throw new Mistake("ERR " + notPositive);
    }

    /** The servers' other types are connections of replicas, of which a proxy has none. */
    private static Predicate<ClientSession> type(String value) throws Mistake {
        return switch (value.toLowerCase(Locale.ROOT)) {
            case "normal" -> session -> session.subscriptions.isEmpty();
            case "pubsub" -> session -> !session.subscriptions.isEmpty();
            case "master", "primary", "replica", "slave" -> session -> false;
            default -> throw new Mistake("ERR Unknown client type '" + value + "'");
        };
    }

    boolean fits(ClientSession session) {
        return all.stream().allMatch(one -> one.test(session));
    }
}
