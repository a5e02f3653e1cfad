package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.netty.buffer.ByteBuf;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * A key of one database, of which no more than its first bytes are kept; a longer one is told from others by its length and by a hash of 64 bits that
 * starts at a secret of the proxy's. Immutable.
 */
final class KeyName {
    /** Keys are shorter, as a rule; of a longer one this is enough for a person to know it by. */
    static final int BYTES_MAX = 256;

    private static final long PRIME = 0x100000001b3L;

    private final int database;
    private final byte[] head;
    private final int length;
    private final long hash;

    private KeyName(int database, byte[] head, int length, long hash) {
        this.database = database;
        this.head = head;
        this.length = length;
        this.hash = hash;
    }

    /** Copies the key of {@code length} bytes at {@code index}. */
    static KeyName copy(long secret, int database, ByteBuf in, int index, int length) {
        return copy(database, in, index, length, hash(secret, database, in, index, length));
    }

    /** Likewise, where its hash is known. */
    static KeyName copy(int database, ByteBuf in, int index, int length, long hash) {
        byte[] head = new byte[Math.min(length, BYTES_MAX)];
        in.getBytes(index, head);
        return new KeyName(database, head, length, hash);
    }

    /** FNV-1a, from a start that no client knows. Source: http://www.isthe.com/chongo/tech/comp/fnv/. */
    static long hash(long secret, int database, ByteBuf in, int index, int length) {
        long hash = (secret ^ database) * PRIME;
        for (int i = index; i < index + length; i++) {
            hash = (hash ^ (in.getByte(i) & 0xff)) * PRIME;
        }
        return hash ^ hash >>> 32;
    }

    long hash() {
        return hash;
    }

    int database() {
        return database;
    }

    /** Whether it is that key, whose hash is the same. */
    boolean isAt(int ofDatabase, ByteBuf in, int index, int ofLength) {
        if (length != ofLength || database != ofDatabase) {
            return false;
        }
        for (int i = 0; i < head.length; i++) {
            if (head[i] != in.getByte(index + i)) {
                return false;
            }
        }
        return true;
    }

    @Override
    public int hashCode() {
        return (int) hash;
    }

    @Override
    public boolean equals(@Nullable Object other) {
        return other instanceof KeyName name
                && name.hash == hash
                && name.database == database
                && name.length == length
                && Arrays.equals(name.head, head);
    }

    /** As a person can read it, and a terminal be shown: what is no printable text is written as {@code \xNN}. */
    @Override
    public String toString() {
        return shown(head, length);
    }

    /** Likewise, of the first bytes of a name of that length. */
    static String shown(byte[] head, int length) {
        StringBuilder text = new StringBuilder();
        String decoded = decoded(head);
        if (decoded == null) {
            for (byte b : head) {
                shown(text, (char) (b & 0xff), b >= ' ' && b < 0x7f);
            }
        } else {
            decoded.chars().forEach(c -> shown(text, (char) c, !Character.isISOControl(c)));
        }
        return length > head.length ? text + "... (" + length + " bytes)" : text.toString();
    }

    private static void shown(StringBuilder text, char c, boolean printable) {
        if (c == '\\') {
            text.append("\\\\");
        } else if (printable) {
            text.append(c);
        } else {
            text.append(String.format("\\x%02x", (int) c));
        }
    }

    /** Null where it is not UTF-8, of which the last character may have been cut. */
    private static @Nullable String decoded(byte[] head) {
        try {
            return UTF_8.newDecoder()
                    .onMalformedInput(CodingErrorAction.REPORT)
                    .decode(ByteBuffer.wrap(head))
                    .toString();
        } catch (CharacterCodingException e) {
            return null;
        }
    }
}
