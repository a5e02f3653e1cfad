package io.switchback.peers;

import io.netty.bootstrap.Bootstrap;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.WriteBufferWaterMark;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.codec.LengthFieldBasedFrameDecoder;
import io.switchback.environment.Environment;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * This node's way to the others: asks them, and is asked by them. Any thread may ask; answers arrive on the network's one
 * thread.
 *
 * <p>A question is asked at most once, and its answer may be lost: whoever asks asks again, and whoever is asked can be
 * asked twice. Questions that are on their way at the same time may arrive in any order. Only nodes that know the secret are
 * heard ({@link Frame}); nothing is encrypted, so nothing secret is asked.
 */
@SuppressWarnings("FutureReturnValueIgnored") // what becomes of a close or task is told by other events
public final class PeerNetwork implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(PeerNetwork.class);

    /** For a connection and the introduction. */
    static final Duration CONNECT_LIMIT = Duration.ofSeconds(2);
    /** Connections from other nodes. */
    private static final int CALLERS_MAX = 4096;

    private static final int NONCE_BYTES = 16;
    private static final int WRITE_BYTES_MAX = 4 * Frame.BYTES_MAX;
    private static final Duration CLOSE_LIMIT = Duration.ofSeconds(5);

    private final String self;
    private final PeerSecret secret;
    private final Function<String, Optional<InetSocketAddress>> directory;
    private final PeerHandler handler;
    private final Environment environment;
    private final EventLoopGroup group = new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory());
    private final Set<PeerConnection> callers = ConcurrentHashMap.newKeySet();
    /** Touched on the event loop alone. */
    private final Map<String, PeerConnection> called = new HashMap<>();

    private final Channel listener;

    private PeerNetwork(
            String self,
            InetSocketAddress listen,
            PeerSecret secret,
            Function<String, Optional<InetSocketAddress>> directory,
            PeerHandler handler,
            Environment environment)
            throws IOException {
        this.self = self;
        this.secret = secret;
        this.directory = directory;
        this.handler = handler;
        this.environment = environment;
        var bound = new ServerBootstrap()
                .group(group)
                .channel(NioServerSocketChannel.class)
                .option(ChannelOption.SO_REUSEADDR, true)
                .childOption(ChannelOption.TCP_NODELAY, true)
                .childOption(ChannelOption.SO_KEEPALIVE, true)
                .childHandler(new Initializer(null))
                .bind(listen)
                .awaitUninterruptibly();
        if (!bound.isSuccess()) {
            group.shutdownGracefully(0, 1, TimeUnit.SECONDS);
            throw new IOException(
                    "cannot listen on " + listen + ": " + bound.cause().getMessage(), bound.cause());
        }
        this.listener = bound.channel();
    }

    /**
     * Listens, and answers from now on.
     *
     * @param self this node's name
     * @param listen port 0 is any free one
     * @param directory where a node listens, as far as that is known now; must not block
     * @throws IOException where the address cannot be listened on
     */
    public static PeerNetwork open(
            String self,
            InetSocketAddress listen,
            PeerSecret secret,
            Function<String, Optional<InetSocketAddress>> directory,
            PeerHandler handler,
            Environment environment)
            throws IOException {
        return new PeerNetwork(self, listen, secret, directory, handler, environment);
    }

    /** Where the others reach this node, as bound. */
    public InetSocketAddress address() {
        return (InetSocketAddress) listener.localAddress();
    }

    /** Asks a node, which may be this one; completes with its answer, or a {@link PeerException}, within about the limit. */
    public CompletableFuture<byte[]> ask(String node, String subject, byte[] question, Duration limit) {
        CompletableFuture<byte[]> answer = new CompletableFuture<>();
        if (node.equals(self)) {
            handle(self, subject, question).whenComplete((body, failure) -> {
                if (failure == null) {
                    answer.complete(body);
                } else {
                    answer.completeExceptionally(new PeerException(
                            PeerException.Code.FAILED,
                            String.valueOf(cause(failure).getMessage())));
                }
            });
            return answer.orTimeout(limit.toNanos(), TimeUnit.NANOSECONDS);
        }
        group.execute(() -> connection(node).whenComplete((connection, failure) -> {
            if (failure == null) {
                connection.ask(subject, question, limit.toNanos(), answer);
            } else {
                answer.completeExceptionally(cause(failure));
            }
        }));
        return answer;
    }

    private CompletableFuture<PeerConnection> connection(String node) {
        PeerConnection open = called.get(node);
        if (open != null) {
            return open.ready;
        }
        Optional<InetSocketAddress> address = directory.apply(node);
        if (address.isEmpty()) {
            return CompletableFuture.failedFuture(new PeerException(
                    PeerException.Code.UNREACHABLE, "node " + node + " is not registered in the ledger"));
        }
        PeerConnection connection = new PeerConnection(this, node);
        called.put(node, connection);
        new Bootstrap()
                .group(group)
                .channel(NioSocketChannel.class)
                .option(ChannelOption.TCP_NODELAY, true)
                .option(ChannelOption.SO_KEEPALIVE, true)
                .option(ChannelOption.CONNECT_TIMEOUT_MILLIS, Math.toIntExact(CONNECT_LIMIT.toMillis()))
                .handler(new Initializer(connection))
                .connect(address.get())
                .addListener(done -> {
                    if (!done.isSuccess()) {
                        called.remove(node, connection);
                        connection.ready.completeExceptionally(new PeerException(
                                PeerException.Code.UNREACHABLE,
                                "node " + node + " cannot be reached at " + address.get() + ": "
                                        + done.cause().getMessage()));
                    }
                });
        return connection.ready;
    }

    @ChannelHandler.Sharable
    private final class Initializer extends ChannelInitializer<Channel> {
        private final @Nullable PeerConnection calling;

        Initializer(@Nullable PeerConnection calling) {
            this.calling = calling;
        }

        @Override
        protected void initChannel(Channel channel) {
            PeerConnection connection = calling;
            if (connection == null) {
                if (callers.size() >= CALLERS_MAX) {
                    channel.close();
                    return;
                }
                connection = new PeerConnection(PeerNetwork.this, null);
                callers.add(connection);
            }
            channel.config().setWriteBufferWaterMark(new WriteBufferWaterMark(WRITE_BYTES_MAX / 2, WRITE_BYTES_MAX));
            channel.pipeline()
                    .addLast(new LengthFieldBasedFrameDecoder(Frame.BYTES_MAX, 0, Integer.BYTES, 0, Integer.BYTES))
                    .addLast(connection);
        }
    }

    /** A connection has ended; on the event loop. */
    void closed(PeerConnection connection) {
        callers.remove(connection);
        called.values().remove(connection);
    }

    CompletionStage<byte[]> handle(String node, String subject, byte[] question) {
        try {
            return handler.answer(node, subject, question);
        } catch (RuntimeException | AssertionError e) {
            LOG.error("node {} asked {} and met a mistake of this program", node, subject, e);
            return CompletableFuture.failedStage(e);
        }
    }

    String self() {
        return self;
    }

    PeerSecret secret() {
        return secret;
    }

    byte[] nonce() {
        return environment.randomBytes(NONCE_BYTES);
    }

    static Throwable cause(Throwable failure) {
        return failure instanceof CompletionException && failure.getCause() != null ? failure.getCause() : failure;
    }

    @Override
    public void close() {
        listener.close().awaitUninterruptibly();
        group.shutdownGracefully(0, CLOSE_LIMIT.toSeconds(), TimeUnit.SECONDS).awaitUninterruptibly();
    }
}
