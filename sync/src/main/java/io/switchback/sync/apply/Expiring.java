package io.switchback.sync.apply;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * Which keys may have a time to live at the target, or fields that have one, as far as the link has seen; for the link's own thread.
 *
 * <p>A link that goes on from a checkpoint has not seen what came before, and takes every key for one that may.
 */
final class Expiring {
    /** Forms of a hash whose fields may have times to live: Redis' and Valkey's numbers for them in a payload. */
    private static final int FIELD_TIMES_FIRST = 22;

    private static final int FIELD_TIMES_LAST = 25;

    private final KeyFilter keys = new KeyFilter();
    private final KeyFilter fields = new KeyFilter();
    private final boolean anyKey;
    private final boolean anyField;

    /**
     * @param sawAll whether the link has seen the target's data from the beginning
     * @param fieldsMayExpire whether the target knows times to live of fields
     */
    Expiring(boolean sawAll, boolean fieldsMayExpire) {
        this.anyKey = !sawAll;
        this.anyField = !sawAll && fieldsMayExpire;
    }

    /** Whether one of them may have a time to live. */
    boolean mayExpire(List<Key> touched) {
        return anyKey || touched.stream().anyMatch(key -> keys.mayContain(key.name()));
    }

    /**
     * Which keys' times must be asked for in front of this command. Takes note of what it does to times as well.
     */
    List<Key> toBeChecked(StreamCommand command, List<Key> touched, boolean overwrites) {
        List<Key> checked = new ArrayList<>();
        boolean any = false;
        for (Key key : touched) {
            if (anyKey || keys.mayContain(key.name())) {
                any = true;
                if (!overwrites) {
                    checked.add(key);
                }
            }
        }
        note(command, touched, any);
        return checked;
    }

    private void note(StreamCommand command, List<Key> touched, boolean any) {
        switch (command.name()) {
            case "EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT", "SETEX", "PSETEX", "GETEX", "MSETEX", "RESTORE" ->
                touched.forEach(key -> keys.add(key.name()));
            case "SET" -> {
                if (command.words().length > 3) {
                    keys.add(touched.getFirst().name());
                }
            }
            case "RENAME", "RENAMENX", "COPY" -> {
                if (any) {
                    touched.forEach(key -> keys.add(key.name()));
                }
                if (touched.stream().anyMatch(key -> fields.mayContain(key.name()))) {
                    touched.forEach(key -> fields.add(key.name()));
                }
            }
            case "HEXPIRE", "HPEXPIRE", "HEXPIREAT", "HPEXPIREAT", "HSETEX", "HGETEX" ->
                touched.forEach(key -> fields.add(key.name()));
            default -> {}
        }
        if (command.name().equals("RESTORE") && command.words().length > 3) {
            payload(touched.getFirst(), command.words()[3]);
        }
    }

    /** Takes note of one of the commands that rebuild a key. */
    void rebuilt(Key key, byte[][] words) {
        switch (new String(words[0], US_ASCII).toUpperCase(Locale.ROOT)) {
            case "PEXPIREAT" -> keys.add(key.name());
            case "SET" -> {
                if (words.length > 3) {
                    keys.add(key.name());
                }
            }
            case "HPEXPIREAT" -> fields.add(key.name());
            case "RESTORE" -> {
                if (words[2].length != 1 || words[2][0] != '0') {
                    keys.add(key.name());
                }
                payload(key, words[3]);
            }
            default -> {}
        }
    }

    private void payload(Key key, byte[] payload) {
        if (payload.length > 0 && payload[0] >= FIELD_TIMES_FIRST && payload[0] <= FIELD_TIMES_LAST) {
            fields.add(key.name());
        }
    }

    /** Whether the command counts on a field, or on its time, that the target may have let go by itself. */
    boolean mayLoseFields(StreamCommand command, List<Key> touched) {
        return switch (command.name()) {
            case "HINCRBY", "HEXPIRE", "HPEXPIRE", "HEXPIREAT", "HPEXPIREAT", "HPERSIST", "HGETEX", "HSETEX" ->
                anyField || touched.stream().anyMatch(key -> fields.mayContain(key.name()));
            default -> false;
        };
    }
}
