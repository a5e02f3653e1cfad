package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.proxy.Subscriptions.Kind;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.Collection;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
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
    /** It is subscribed to the channel of the marks. */
    boolean seesMarks;

    private final Consumer<Feed> overflow;
    private final long keptBytesMax;
    private final ArrayDeque<Asked> asked = new ArrayDeque<>();
    private final ArrayDeque<ByteBuf> kept = new ArrayDeque<>();
    private final Set<ByteBuffer> shardChannels = new LinkedHashSet<>(0);
    private long keptBytes;
    private @Nullable ByteBuf part;
    private @Nullable ByteBuffer lastMark;

    Feed(BackendConnection connection, long keptBytesMax, Consumer<Feed> overflow) {
        this.connection = connection;
        this.keptBytesMax = keptBytesMax;
        this.overflow = overflow;
    }

    /** Something that the server answers by a push message for each of {@code names}, which may name one twice. */
    abstract static class Asked implements ReplySink {
        private final String command;
        private final Set<ByteBuffer> names;
        private int missing;

        Asked(String command, Collection<ByteBuffer> names) {
            this.command = command;
            this.names = new HashSet<>(names);
            this.missing = names.size();
        }

        private boolean isAnsweredBy(PushMessage message) {
            List<ByteBuffer> about = message.strings();
            return message.kind().equals(command) && (about.isEmpty() || names.contains(about.getFirst()));
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

    /** It has been subscribed to something, or no longer is: whether somebody had asked, or the server has done it by itself. */
    boolean confirms(PushMessage message) {
        if (message.kind().equals(Kind.SHARD.adding)) {
            shardChannels.addAll(message.strings());
        } else if (message.kind().equals(Kind.SHARD.removing)) {
            message.strings().forEach(shardChannels::remove);
        }
        Asked first = asked.peek();
        if (first == null || !first.isAnsweredBy(message)) {
            return false;
        }
        first.missing--;
        first.confirmed(message);
        if (first.missing == 0) {
            connection.answeredByPushes();
        }
        return true;
    }

    /** The shard channels that it brings, as the server has said. */
    Set<ByteBuffer> shardChannels() {
        return Collections.unmodifiableSet(shardChannels);
    }

    /** Nothing is kept, and nothing was asked that is not answered. */
    boolean isQuiet() {
        return kept.isEmpty() && asked.isEmpty();
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
