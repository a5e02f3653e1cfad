package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import io.netty.buffer.ByteBuf;
import io.switchback.fleet.Endpoint;
import io.switchback.resp.KeySlot;
import org.jspecify.annotations.Nullable;

/**
 * What a server of a cluster answers to a command that it has not run, though another server would, or this one in a moment. Source: Redis
 * Cluster specification, "MOVED Redirection", "ASK redirection", "Multiple keys operations".
 *
 * @param kind what is to be done
 * @param slot of which MOVED and ASK speak
 * @param to where they lead
 * @param error the whole line, without its type and its end
 */
record NotExecuted(Kind kind, int slot, @Nullable Endpoint to, String error) {
    /** A longer error is none of these. */
    static final int BYTES_MAX = 1024;

    /** What is to be done. */
    enum Kind {
        /** The slot is there from now on. */
        MOVED,
        /** The slot is being moved, and the key has been: there, for this once, behind ASKING. */
        ASK,
        /** Some keys have been moved and others have not: in a moment. */
        TRY_AGAIN,
        /** There is no primary, or it is not ready: once there is. */
        DOWN,
        /** The script that is to be run is not there: behind that script. */
        NO_SCRIPT,
        /** A replica has answered what is not to be believed of one: at the primary. */
        NOT_BELIEVED,
        /** A later command for its key has been run: not any more. */
        TOO_LATE
    }

    /** Null where this is another error, or no error: the command may have run. {@code from} is whose answer it is. */
    static @Nullable NotExecuted read(ByteBuf reply, Endpoint from) {
        int length = reply.readableBytes();
        if (length < 8 || length > BYTES_MAX || reply.getByte(reply.readerIndex()) != '-') {
            return null;
        }
        String error = reply.toString(ISO_8859_1).substring(1).stripTrailing();
        int blank = error.indexOf(' ');
        return switch (blank < 0 ? error : error.substring(0, blank)) {
            case "MOVED" -> redirection(Kind.MOVED, error, from);
            case "ASK" -> redirection(Kind.ASK, error, from);
            case "TRYAGAIN" ->
                error.startsWith("TRYAGAIN Multiple keys") ? new NotExecuted(Kind.TRY_AGAIN, -1, null, error) : null;
            case "CLUSTERDOWN", "LOADING", "MASTERDOWN" -> new NotExecuted(Kind.DOWN, -1, null, error);
            // Within a script it is not the first thing that the script has done.
            case "READONLY" -> error.contains("script") ? null : new NotExecuted(Kind.DOWN, -1, null, error);
            default -> null;
        };
    }

    /** EVALSHA of a script that the server does not have, as the servers of all versions say it; null where this is another answer. */
    static @Nullable NotExecuted readOfScript(ByteBuf reply) {
        String error = reply.toString(ISO_8859_1).substring(1).stripTrailing();
        return error.startsWith("NOSCRIPT No matching script")
                ? new NotExecuted(Kind.NO_SCRIPT, -1, null, error)
                : null;
    }

    /** What a replica has answered, which its primary may have another answer to; empty where there is no such answer. */
    static NotExecuted notBelieved(String reply) {
        return new NotExecuted(Kind.NOT_BELIEVED, -1, null, reply);
    }

    /** It has come too late, of which the client is told by this. */
    NotExecuted tooLate(String why) {
        return new NotExecuted(Kind.TOO_LATE, slot, null, kind == Kind.NO_SCRIPT ? error : why);
    }

    /** {@code MOVED 3999 127.0.0.1:6381}; without a host, or with one that is not known, it is that of who says so. */
    private static @Nullable NotExecuted redirection(Kind kind, String error, Endpoint from) {
        String[] words = error.split(" ", -1);
        int colon = words.length < 3 ? -1 : words[2].lastIndexOf(':');
        if (colon < 0) {
            return null;
        }
        try {
            int slot = Integer.parseInt(words[1]);
            String host = words[2].substring(0, colon);
            int port = Integer.parseInt(words[2].substring(colon + 1));
            boolean isKnown = !host.isEmpty() && !host.equals("?");
            return slot < 0 || slot >= KeySlot.SLOTS || port < 1 || port > 65535
                    ? null
                    : new NotExecuted(kind, slot, new Endpoint(isKnown ? host : from.host(), port), error);
        } catch (NumberFormatException e) {
            return null;
        }
    }
}
