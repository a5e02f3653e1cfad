package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * The push messages that come over one connection for one client: put together where they come in parts, matched with what was asked,
 * and kept where it is not clear yet whether they are for the client.
 *
 * <p>Owned by the session's event loop. A server answers SUBSCRIBE and its like by a push message for each name and by no reply; only
 * a refusal is one. So {@link #asked} is in the order of sending, and its head is the connection's oldest run.
 */
final class Feed {
    final BackendConnection connection;
    /** The mark of the switch that is under way has come. */
    boolean marked;
    /** Clients have been let go on it, and the mark has not come yet: what comes before it is not for the client. */
    boolean awaitsMark;

    private final Consumer<Feed> overflow;
    private final long keptBytesMax;
    private final ArrayDeque<Asked> asked = new ArrayDeque<>();
    private final ArrayDeque<ByteBuf> kept = new ArrayDeque<>();
    private long keptBytes;
    private @Nullable ByteBuf part;
    private @Nullable ByteBuffer lastMark;

    Feed(BackendConnection connection, long keptBytesMax, Consumer<Feed> overflow) {
        this.connection = connection;
        this.keptBytesMax = keptBytesMax;
        this.overflow = overflow;
    }

    /** Something that the server answers by {@code names} push messages. */
    abstract static class Asked implements ReplySink {
        private int missing;

        Asked(int names) {
            this.missing = names;
        }

        /** One name's answer. */
        abstract void confirmed(PushMessage message);
    }

    /** What a run that is about to be sent waits for; the run's sink hands its end to {@link #ended}. */
    void asks(Asked what) {
        asked.add(what);
    }

    /** It was refused, or answered in full. */
    void ended(Asked what) {
        asked.remove(what);
    }

    /** An answer has come to what was asked first; whether somebody had asked. */
    boolean confirms(PushMessage message) {
        Asked first = asked.peek();
        if (first == null) {
            return false;
        }
        first.missing--;
        first.confirmed(message);
        if (first.missing == 0) {
            connection.answeredByPushes();
        }
        return true;
    }

    /** Adds bytes of a message; the whole message once they are its last, which is the caller's then. */
    @Nullable
    ByteBuf whole(ByteBuf in, int index, int length, boolean ends) {
        ByteBuf so = part;
        if (so == null && ends) {
            return in.retainedSlice(index, length);
        }
        if (so == null) {
            so = in.alloc().buffer(length);
            part = so;
        }
        if (so.readableBytes() + (long) length > keptBytesMax) {
            overflow.accept(this);
            return null;
        }
        so.writeBytes(in, index, length);
        if (!ends) {
            return null;
        }
        part = null;
        return so;
    }

    /** Whether this mark has come before: where a pattern matches its channel as well it comes more than once. */
    boolean hasHeardOf(ByteBuffer mark) {
        boolean before = mark.equals(lastMark);
        lastMark = mark;
        return before;
    }

    /** Another switch begins, which may be marked as one was that was given up. */
    void forgetMarks() {
        lastMark = null;
    }

    /** Takes the bytes over. */
    void keep(ByteBuf message) {
        kept.add(message);
        keptBytes += message.readableBytes();
        if (keptBytes > keptBytesMax) {
            overflow.accept(this);
        }
    }

    void give(Consumer<ByteBuf> to) {
        for (ByteBuf next = kept.poll(); next != null; next = kept.poll()) {
            to.accept(next);
        }
        keptBytes = 0;
    }

    void dropKept() {
        give(ByteBuf::release);
    }

    void release() {
        dropKept();
        ByteBuf unfinished = part;
        part = null;
        if (unfinished != null) {
            unfinished.release();
        }
    }
}
