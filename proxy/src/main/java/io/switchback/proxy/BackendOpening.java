package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.util.NetUtil;
import io.switchback.fleet.Credential;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.Topology;
import io.switchback.resp.Protocol;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.UnknownHostException;
import java.util.List;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Opens one connection to a server: connects, authenticates, selects the database; a bounded number of times where the
 * server cannot be reached, once where it refuses. Where there is a {@link RouteCheck}, that has the last word, and is asked until it allows
 * the connection: clients wait meanwhile, a hold does not, since nothing of theirs is on its way.
 *
 * <p>Owned by its event loop. Its {@link Result} is told exactly once.
 */
@SuppressWarnings("FutureReturnValueIgnored") // what becomes of a close, write or task is told by other events
final class BackendOpening {
    private static final long PAUSE_MS = 50;

    /** What comes of it. */
    interface Result {
        void opened(BackendConnection connection);

        /** {@code error} is what clients are told: the server's own error where it gave one. */
        void failed(String error);

        /** The connection cannot be used any more, or nobody wants it; whoever still needs one asks again. */
        void superseded();

        /** Whether there still is somebody who waits for it. */
        default boolean isWanted() {
            return true;
        }
    }

    private final ProxyLoop loop;
    private final ConnectionKey key;
    private final BackendRoute route;
    private final Result result;
    private int attempts;
    private long startedAtNanos;
    private String stage = "waits";
    /** It goes to a fleet that is not in use yet, and no client waits for it. */
    private final boolean ahead;

    private final boolean forClients;
    private boolean ended;
    /** Stands, and waits for the word of the {@link RouteCheck}. */
    private @Nullable BackendConnection unchecked;

    private boolean hasWaited;

    /** For clients. */
    BackendOpening(ProxyLoop loop, ConnectionKey key, BackendRoute route, Result result) {
        this(loop, key, route, result, true);
    }

    /** {@code forClients}: whether it will carry their commands; then a hold waits for it, and the {@link RouteCheck} is asked. */
    BackendOpening(ProxyLoop loop, ConnectionKey key, BackendRoute route, Result result, boolean forClients) {
        this.forClients = forClients;
        this.loop = loop;
        this.key = key;
        this.route = route;
        this.ahead = route.epoch() != loop.route().epoch();
        this.result = result;
    }

    void start() {
        startedAtNanos = loop.nanoTime();
        if (forClients) {
            loop.openingStarted(this);
        }
        attempt();
    }

    /** What it is doing, for a person. */
    String describe() {
        return "a connection to fleet " + where() + " is being opened since "
                + (loop.nanoTime() - startedAtNanos) / 1_000_000 + " ms: attempt " + attempts + " " + stage;
    }

    /** Nobody waits for it any more: its fleet is being left. */
    void giveUp() {
        if (!ended) {
            failed("ERR switchback: fleet " + route.fleet().name() + " does not answer and is being left");
        }
    }

    /** The route is another one now. */
    void supersede() {
        if (!ended) {
            finish(result::superseded);
        }
    }

    private void attempt() {
        if (ended) {
            return;
        }
        attempts++;
        stage = "connects";
        Endpoint endpoint = server();
        if (endpoint == null) {
            unreachable("nobody says which server is its primary");
            return;
        }
        if (NetUtil.createByteArrayFromIpAddressString(endpoint.host()) != null) {
            connect(endpoint, new InetSocketAddress(endpoint.host(), endpoint.port()));
            return;
        }
        // Looking up a name can take seconds, and may not stop the loop meanwhile.
        Thread.ofVirtual().start(() -> {
            try {
                InetSocketAddress address =
                        new InetSocketAddress(InetAddress.getByName(endpoint.host()), endpoint.port());
                loop.execute(() -> connect(endpoint, address));
            } catch (UnknownHostException e) {
                loop.execute(() -> unreachable("its name is not known"));
            }
        });
    }

    /** Looked up anew for each attempt, since another one may have become the primary. */
    private @Nullable Endpoint server() {
        Endpoint named = key.server();
        if (named != null) {
            return named;
        }
        return switch (loop.topology(route.fleet())) {
            case Topology.Replicated(Endpoint primary, List<Endpoint> _) -> primary;
            case Topology.Sharded _ -> null; // there the key names it
            case null -> null;
        };
    }

    private String where() {
        Endpoint server = server();
        return route.fleet().name() + " at " + (server == null ? route.fleet().address() : server);
    }

    private void connect(Endpoint server, InetSocketAddress address) {
        Attempt attempt = new Attempt(server);
        int timeoutMs = Math.toIntExact(loop.limits().connectTimeout().toMillis());
        ChannelFuture connected = new Bootstrap()
                .group(loop.executor())
                .channel(loop.transport().clientChannel())
                .option(ChannelOption.ALLOCATOR, Transport.ALLOCATOR)
                .option(ChannelOption.TCP_NODELAY, true)
                .option(ChannelOption.SO_KEEPALIVE, true)
                .option(ChannelOption.CONNECT_TIMEOUT_MILLIS, timeoutMs)
                .handler(attempt)
                .connect(address);
        connected.addListener(done -> {
            if (done.isSuccess()) {
                attempt.shakeHands(timeoutMs);
            } else {
                unreachable(Transport.words(done.cause()));
            }
        });
    }

    /** One attempt's channel and handshake. */
    private final class Attempt extends ChannelInitializer<Channel> implements ReplySink {
        private @Nullable BackendConnection connection;
        private @Nullable Future<?> timeout;
        private @Nullable ByteBuf replies;
        private boolean over;
        private final Endpoint server;

        Attempt(Endpoint server) {
            this.server = server;
        }

        @Override
        protected void initChannel(Channel channel) {
            BackendConnection made = new BackendConnection(loop, key, route, server, channel);
            channel.pipeline().addLast(made);
            connection = made;
        }

        private BackendConnection connection() {
            BackendConnection made = connection;
            if (made == null) {
                throw new IllegalStateException("connected before it was initialized");
            }
            return made;
        }

        void shakeHands(int timeoutMs) {
            stage = "authenticates";
            int commands = 0;
            ByteBuf handshake = ByteBufAllocator.DEFAULT.heapBuffer();
            Credential credential = key.identity();
            if (key.protocol() == Protocol.RESP3) {
                // In one command, as clients do: on 6.0 the user alone may not have the right to HELLO.
                add(
                        handshake,
                        credential == null
                                ? Wire.command("HELLO", "3")
                                : Wire.command("HELLO", "3", "AUTH", credential.user(), credential.password()));
                commands++;
            } else if (credential != null) {
                // Not by the password alone: a default user without one is taken by any with its name, and by none
                // without.
                add(handshake, Wire.command("AUTH", credential.user(), credential.password()));
                commands++;
            }
            if (key.database() != 0) {
                add(handshake, Wire.command("SELECT", Integer.toString(key.database())));
                commands++;
            }
            if (commands == 0 && ahead) {
                // A server that has too many clients says so only once it is asked something.
                add(handshake, Wire.command("PING"));
                commands++;
            }
            if (commands == 0) {
                handshake.release();
                over = true;
                stands(connection());
                return;
            }
            replies = ByteBufAllocator.DEFAULT.heapBuffer();
            timeout = loop.executor().schedule(this::timedOut, timeoutMs, TimeUnit.MILLISECONDS);
            connection().send(new Run(null, handshake, commands, this, loop.nanoTime(), 1));
        }

        private static void add(ByteBuf to, ByteBuf command) {
            to.writeBytes(command);
            command.release();
        }

        @Override
        public void receive(Run run, ByteBuf in, int index, int length) {
            if (replies != null && replies.readableBytes() < 64 * 1024) {
                replies.writeBytes(in, index, length);
            }
        }

        @Override
        public void answered(Run run) {
            String said = end();
            boolean mustAuthenticateFirst = key.identity() == null && said.startsWith("-NOAUTH");
            if (run.errors == 0 || (ahead && mustAuthenticateFirst)) {
                stands(connection());
                return;
            }
            connection().close();
            if (ended) {
                return;
            }
            String error = said.lines()
                    .filter(line -> line.startsWith("-"))
                    .findFirst()
                    .orElse("-ERR switchback: the server refused the connection");
            failed(error.substring(1));
        }

        @Override
        public void lost(Run run, String why) {
            if (!over) {
                end();
                unreachable(why);
            }
        }

        private void timedOut() {
            if (!over) {
                end();
                connection().close();
                unreachable("it did not answer within "
                        + loop.limits().connectTimeout().toMillis() + " ms");
            }
        }

        private String end() {
            over = true;
            if (timeout != null) {
                timeout.cancel(false);
            }
            String said = "";
            if (replies != null) {
                said = replies.toString(UTF_8);
                replies.release();
                replies = null;
            }
            return said;
        }
    }

    private void unreachable(String why) {
        if (ended) {
            return;
        }
        if (attempts < loop.limits().connectAttemptsMax()) {
            stage = "failed: " + why;
            loop.executor().schedule(this::attempt, PAUSE_MS, TimeUnit.MILLISECONDS);
            return;
        }
        loop.reached(Limit.CONNECT_ATTEMPTS);
        if (!ahead) {
            loop.reachability().failed(route, why);
        }
        failed("ERR switchback: fleet " + where() + " cannot be reached: " + why);
    }

    /** It is connected and authenticated. */
    private void stands(BackendConnection connection) {
        if (ended) {
            connection.close();
            return;
        }
        RouteCheck check = ahead || !forClients ? null : loop.routeCheck();
        if (check == null) {
            succeeded(connection);
            return;
        }
        stage = "waits for the ledger's word";
        unchecked = connection;
        loop.openingWaitsForRoute(this);
        ask(check, connection);
    }

    private void ask(RouteCheck check, BackendConnection connection) {
        check.mayCarry(route)
                .exceptionally(failure -> String.valueOf(failure.getMessage()))
                .thenAccept(whyNot -> loop.execute(() -> told(whyNot, connection)));
    }

    private void told(String whyNot, BackendConnection connection) {
        if (ended) {
            connection.close();
        } else if (!connection.isOpen()) {
            unchecked = null;
            if (hasWaited) {
                hasWaited = false;
                attempts = 0;
            }
            unreachable("it closed the connection");
        } else if (whyNot.isEmpty()) {
            loop.reachability().allowed();
            succeeded(connection);
        } else if (!result.isWanted()) {
            finish(result::superseded);
        } else {
            hasWaited = true;
            loop.reachability().notAllowed(route, whyNot);
            loop.executor().schedule(() -> askAgain(connection), PAUSE_MS, TimeUnit.MILLISECONDS);
        }
    }

    private void askAgain(BackendConnection connection) {
        RouteCheck check = loop.routeCheck();
        if (check == null || ended) {
            told("", connection);
        } else {
            ask(check, connection);
        }
    }

    private void succeeded(BackendConnection connection) {
        if (connection.isOpen()) {
            unchecked = null;
            loop.reachability().reached(route);
            finish(() -> result.opened(connection));
        } else {
            unreachable("it closed the connection");
        }
    }

    private void failed(String error) {
        finish(() -> result.failed(error));
    }

    private void finish(Runnable tell) {
        if (ended) {
            throw new IllegalStateException("an opening ended twice");
        }
        ended = true;
        if (forClients) {
            loop.openingEnded(this);
        }
        BackendConnection unused = unchecked;
        if (unused != null) {
            unused.close();
        }
        tell.run();
    }
}
