package io.switchback.resp;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import io.netty.buffer.ByteBuf;
import java.util.Arrays;
import java.util.Locale;

/**
 * The keys of one whole command after another, in bytes as clients send them, and the slot that they have in a cluster.
 *
 * <p>Where the server cannot tell the keys either, since words are missing or a count is none, there are none: any server says what is wrong.
 *
 * <p>Owned by one event loop, which uses one for all of its clients; it makes no garbage but for commands with uncommonly many words. It does
 * not own the buffers that it looks at and leaves their indices alone.
 */
public final class CommandKeys {
    /** The command has no keys. */
    public static final int NO_SLOT = -1;
    /** Its keys are of more than one slot. */
    public static final int SEVERAL_SLOTS = -2;

    /** For more words than these the place is not kept. */
    private static final int WORDS_KEPT_MAX = 1024;

    /** Where the words begin in the buffer, and how long they are. */
    private int[] starts = new int[16];

    private int[] lengths = new int[16];
    private int words;
    /** Which of the words are keys. */
    private int[] keys = new int[16];

    private int count;

    /** The slot of the command that begins at {@code from}, {@link #NO_SLOT} or {@link #SEVERAL_SLOTS}; its keys are not to be had afterwards. */
    public int slot(ByteBuf in, int from, RequestScanner scanned, KeyPlaces places) {
        if (places instanceof KeyPlaces.None) {
            return NO_SLOT;
        }
        if (places instanceof KeyPlaces.First) {
            if (scanned.arguments() < 2) {
                return NO_SLOT;
            }
            int line = from + scanned.nameOffset() + scanned.nameLength() + 2;
            int length = 0;
            int index = line + 1;
            for (byte b = in.getByte(index); b != '\r'; b = in.getByte(++index)) {
                length = length * 10 + (b - '0');
            }
            return KeySlot.of(in, index + 2, length);
        }
        find(in, from, places);
        return slot(in);
    }

    /** The slot of all keys that the last {@link #find} has found in this buffer. */
    public int slot(ByteBuf in) {
        int slot = NO_SLOT;
        for (int i = 0; i < count; i++) {
            int one = KeySlot.of(in, starts[keys[i]], lengths[keys[i]]);
            if (slot != NO_SLOT && slot != one) {
                return SEVERAL_SLOTS;
            }
            slot = one;
        }
        return slot;
    }

    /** Finds the keys of the whole command that begins at {@code from}; how many there are. */
    public int find(ByteBuf in, int from, KeyPlaces places) {
        readWords(in, from);
        count = 0;
        switch (places) {
            case KeyPlaces.None() -> {}
            case KeyPlaces.First() -> firstAnd(0);
            case KeyPlaces.Range(int first, int last, int step) -> range(first, last, step);
            case KeyPlaces.Counted(int at, int step, int also) -> counted(in, at, step, also);
            case KeyPlaces.Streams() -> streams(in);
            case KeyPlaces.GeoStore(int at) -> geoStore(in, at);
            case KeyPlaces.SortStore() -> sortStore(in);
            case KeyPlaces.Migrate() -> migrate(in);
            case KeyPlaces.Behind behind -> {
                if (words > 2 && behind.subcommands().matcher(lower(in, 1)).matches()) {
                    add(2);
                }
            }
            case KeyPlaces.TwoBehindKeys() -> twoBehindKeys(in);
        }
        return count;
    }

    /** How many keys the last {@link #find} has found. */
    public int count() {
        return count;
    }

    /** Where the word is that is the key number {@code i}; the command's name is word 0. */
    public int word(int i) {
        return keys[i];
    }

    /** Where the key number {@code i} begins in the buffer. */
    public int start(int i) {
        return starts[keys[i]];
    }

    /** The length of the key number {@code i} in bytes. */
    public int length(int i) {
        return lengths[keys[i]];
    }

    /** A copy of the key number {@code i}. */
    public byte[] key(ByteBuf in, int i) {
        byte[] key = new byte[lengths[keys[i]]];
        in.getBytes(starts[keys[i]], key);
        return key;
    }

    private void readWords(ByteBuf in, int from) {
        int index = from + 1;
        int number = 0;
        for (byte b = in.getByte(index); b != '\r'; b = in.getByte(++index)) {
            number = number * 10 + (b - '0');
        }
        index += 2;
        words = number;
        if (starts.length < words || (starts.length > WORDS_KEPT_MAX && words <= WORDS_KEPT_MAX)) {
            int room = Math.max(16, words);
            starts = new int[room];
            lengths = new int[room];
        }
        for (int i = 0; i < words; i++) {
            int length = 0;
            index++;
            for (byte b = in.getByte(index); b != '\r'; b = in.getByte(++index)) {
                length = length * 10 + (b - '0');
            }
            starts[i] = index + 2;
            lengths[i] = length;
            index += length + 4;
        }
    }

    private void add(int word) {
        if (count == keys.length || (keys.length > WORDS_KEPT_MAX && count == 0)) {
            keys = count == 0 ? new int[16] : Arrays.copyOf(keys, 2 * count);
        }
        keys[count++] = word;
    }

    private void range(int first, int last, int step) {
        int end = last < 0 ? words + last : last;
        if (end >= words) {
            return;
        }
        for (int i = first; i <= end; i += step) {
            add(i);
        }
    }

    private void counted(ByteBuf in, int at, int step, int also) {
        long number = at < words ? number(in, at) : -1;
        if (number < 1 || at + 1 + (number - 1) * step >= words) {
            return;
        }
        if (also > 0) {
            add(also);
        }
        for (int i = 0; i < number; i++) {
            add(at + 1 + i * step);
        }
    }

    private void streams(ByteBuf in) {
        int i = 1;
        while (i < words) {
            if (is(in, i, "block") || is(in, i, "count") || is(in, i, "claim")) {
                i += 2;
            } else if (is(in, i, "group")) {
                i += 3;
            } else if (is(in, i, "noack")) {
                i++;
            } else {
                break;
            }
        }
        int behind = words - i - 1;
        if (i < words && is(in, i, "streams") && behind > 0 && behind % 2 == 0) {
            range(i + 1, i + behind / 2, 1);
        }
    }

    private void geoStore(ByteBuf in, int from) {
        firstAnd(0);
        for (int i = from; i + 1 < words; i++) {
            if (is(in, i, "store") || is(in, i, "storedist")) {
                add(++i);
            }
        }
    }

    private void sortStore(ByteBuf in) {
        int stored = 0;
        int i = 2;
        while (i < words) {
            if (is(in, i, "limit")) {
                i += 2;
            } else if (is(in, i, "get") || is(in, i, "by")) {
                i++;
            } else if (is(in, i, "store") && i + 1 < words) {
                stored = i + 1;
            }
            i++;
        }
        firstAnd(stored);
    }

    private void firstAnd(int other) {
        if (words > 1) {
            add(1);
            if (other > 0) {
                add(other);
            }
        }
    }

    private void migrate(ByteBuf in) {
        if (words < 4) {
            return;
        }
        int i = lengths[3] == 0 ? 6 : words;
        while (i < words) {
            if (is(in, i, "keys")) {
                range(i + 1, -1, 1);
                return;
            }
            i += is(in, i, "auth") ? 2 : is(in, i, "auth2") ? 3 : 1;
        }
        add(3);
    }

    private void twoBehindKeys(ByteBuf in) {
        for (int i = 1; i < words && !is(in, i, "strings"); i++) {
            if (is(in, i, "keys") && i + 2 < words) {
                add(i + 1);
                add(i + 2);
                return;
            }
        }
    }

    private boolean is(ByteBuf in, int word, String name) {
        if (lengths[word] != name.length()) {
            return false;
        }
        for (int i = 0; i < name.length(); i++) {
            byte b = in.getByte(starts[word] + i);
            if ((b >= 'A' && b <= 'Z' ? b + 32 : b) != name.charAt(i)) {
                return false;
            }
        }
        return true;
    }

    private String lower(ByteBuf in, int word) {
        return in.toString(starts[word], Math.min(lengths[word], 64), ISO_8859_1)
                .toLowerCase(Locale.ROOT);
    }

    /** As the servers read it to find keys, which is less strict than what the command itself takes: digits behind blanks and a sign, whatever follows. 0 where there are none. */
    private long number(ByteBuf in, int word) {
        int index = starts[word];
        int end = index + lengths[word];
        while (index < end && Character.isWhitespace(in.getByte(index))) {
            index++;
        }
        boolean negative = index < end && in.getByte(index) == '-';
        if (negative || (index < end && in.getByte(index) == '+')) {
            index++;
        }
        long value = 0;
        while (index < end && in.getByte(index) >= '0' && in.getByte(index) <= '9' && value < Integer.MAX_VALUE) {
            value = value * 10 + in.getByte(index++) - '0';
        }
        return negative ? -value : value;
    }
}
