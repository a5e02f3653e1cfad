package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.switchback.resp.Reply;
import io.switchback.resp.ReplyReader;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.jspecify.annotations.Nullable;

/** A command that only reads, over the shared connection, whose reply is changed before the client gets it. */
abstract class FilteringOperation extends AskingOperation {
    FilteringOperation(ClientSession session) {
        super(session);
    }

    @Override
    @Nullable
    BackendConnection connection() {
        return session.upstream();
    }

    @Override
    @Nullable
    String failure() {
        return session.failure();
    }

    @Override
    void lost(String why) {
        if (!repeat()) {
            super.lost(why);
        }
    }

    /** Reads {@code count} replies. */
    static Reply[] read(ByteBuf replies, int count) {
        ReplyReader reader = new ReplyReader(new ByteArrayInputStream(ByteBufUtil.getBytes(replies)));
        Reply[] read = new Reply[count];
        try {
            for (int i = 0; i < count; i++) {
                read[i] = reader.read();
            }
        } catch (IOException e) {
            throw new UncheckedIOException("a reply that was found to be whole cannot be read", e);
        }
        return read;
    }
}
