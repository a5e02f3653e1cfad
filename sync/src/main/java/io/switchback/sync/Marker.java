package io.switchback.sync;

import io.switchback.fleet.ReservedKeys;
import io.switchback.resp.CommandEncoder;
import java.io.ByteArrayOutputStream;
import java.util.Locale;
import java.util.Optional;

/**
 * A point of a translated stream, noted within the target's own data: what the target had applied of its source when it
 * applied this. Where bytes are not passed one to one, nothing else survives the relay that could say so.
 *
 * <p>Invariant: the text of a marker has the same length whatever its numbers, so that an offset behind it can stand in it.
 *
 * @param base     of the link that wrote it: a marker of another base says nothing
 * @param source   up to where the source's stream is applied, once the marker is
 * @param target   what the target calls that point
 * @param database the one that the stream has selected there
 */
record Marker(LinkBase base, long source, long target, int database) {
    private static final int WORDS = 7;

    private static final byte[] MULTI = CommandEncoder.encode("MULTI");
    private static final byte[] EXEC = CommandEncoder.encode("EXEC");

    /** The source's id is not part of it: it changes when the source is promoted, and the point stays what it is. */
    String text() {
        return String.format(
                Locale.ROOT,
                "1 %s %019d %019d %019d %019d %05d",
                base.targetId(),
                base.sourceOffset(),
                base.targetOffset(),
                source,
                target,
                database);
    }

    /** Reads what was found at a target; empty where it is none of this base. */
    static Optional<Marker> of(String text, LinkBase base) {
        String[] words = text.split(" ", -1);
        if (words.length != WORDS || !words[0].equals("1")) {
            return Optional.empty();
        }
        Marker marker;
        try {
            marker = new Marker(base, Long.parseLong(words[4]), Long.parseLong(words[5]), Integer.parseInt(words[6]));
        } catch (NumberFormatException e) {
            return Optional.empty();
        }
        return marker.text().equals(text) ? Optional.of(marker) : Optional.empty();
    }

    /** The commands that write it from database {@code database}; atomic, so that a target stands before or behind it. */
    static byte[] alone(String link, LinkBase base, long source, long targetBefore, int database) {
        boolean wrap = database != 0;
        long size =
                within(link, new Marker(base, 0, 0, database)).length + (wrap ? (long) MULTI.length + EXEC.length : 0);
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        if (wrap) {
            out.writeBytes(MULTI);
        }
        out.writeBytes(within(link, new Marker(base, source, targetBefore + size, database)));
        if (wrap) {
            out.writeBytes(EXEC);
        }
        return out.toByteArray();
    }

    /** As {@link #alone}, where the stream is in a transaction, or wraps one around it, that ends {@code behind} bytes later. */
    static byte[] inTransaction(
            String link, LinkBase base, long sourceAtEnd, long targetBefore, long behind, int database) {
        long size = within(link, new Marker(base, 0, 0, database)).length;
        return within(link, new Marker(base, sourceAtEnd, targetBefore + size + behind, database));
    }

    private static byte[] within(String link, Marker marker) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        boolean elsewhere = marker.database() != 0;
        if (elsewhere) {
            CommandEncoder.encode(out, CommandEncoder.bytes("SELECT", "0"));
        }
        CommandEncoder.encode(out, CommandEncoder.bytes("SET", ReservedKeys.marker(link), marker.text()));
        if (elsewhere) {
            CommandEncoder.encode(out, CommandEncoder.bytes("SELECT", Integer.toString(marker.database())));
        }
        return out.toByteArray();
    }
}
