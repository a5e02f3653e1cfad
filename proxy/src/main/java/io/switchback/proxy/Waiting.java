package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import java.util.function.Consumer;

/** An operation whose client may wait for as long as it has said. Owned by its session's event loop. */
interface Waiting {
    /** What a client sends behind it is read up to here, since only so is it noticed that the client leaves. */
    int READ_ON_BYTES_MAX = 1024 * 1024;

    /** The client is not read from, and may leave unnoticed: from now on that is looked for. */
    void watchClient();

    /** Another client wants the waiting to end, as if its time were over, or by an error; {@code caller} is given the reply to that. */
    void unblockFor(boolean byError, Consumer<ByteBuf> caller);
}
