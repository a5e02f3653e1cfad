package io.switchback.proxy;

import io.netty.channel.Channel;
import io.netty.handler.codec.DecoderException;
import io.netty.handler.ssl.SslHandler;
import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.Executor;
import java.util.concurrent.Executors;
import javax.net.ssl.SSLEngine;

/**
 * What TLS brings to a channel: one handler, before everything else, where there is TLS, and nothing where there is none.
 *
 * <p>What a handshake has to compute, which can take milliseconds, is done by threads of its own, so that nobody else of the event loop waits for it; what is
 * read and written afterwards is encrypted on the loop.
 */
final class Encryption {
    /** A client that has not finished its handshake by then is closed. */
    static final Duration CLIENT_HANDSHAKE_LIMIT = Duration.ofSeconds(10);

    private static final Executor COMPUTING = Executors.newVirtualThreadPerTaskExecutor();

    private Encryption() {}

    static SslHandler handler(SSLEngine engine, Duration handshakeLimit) {
        SslHandler handler = new SslHandler(engine, COMPUTING);
        handler.setHandshakeTimeoutMillis(handshakeLimit.toMillis());
        return handler;
    }

    /** Whether it was the other side or the network that failed, and not Switchback: what cannot be decrypted comes as a DecoderException. */
    static boolean isOfNetwork(Throwable failure) {
        return failure instanceof IOException || failure instanceof DecoderException;
    }

    /**
     * Closes at once, by the channel's own event loop. A close that passes the handler of TLS would send what was written and not flushed, which may not be sent
     * any more, and would wait for a last word to be read by somebody who may not read.
     */
    static void closeNow(Channel channel) {
        channel.unsafe().close(channel.unsafe().voidPromise());
    }
}
