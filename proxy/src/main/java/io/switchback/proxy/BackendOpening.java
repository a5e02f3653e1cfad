package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.handler.ssl.SslHandler;
import io.netty.util.NetUtil;
import io.switchback.fleet.Credential;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetTls;
import io.switchback.fleet.Topology;
import io.switchback.resp.Protocol;
import io.switchback.tls.TlsException;
import io.switchback.tls.TlsFailure;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.UnknownHostException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLEngine;
import org.jspecify.annotations.Nullable;

/**
 * Opens one connection to a server: connects, authenticates, selects the database; a bounded number of times where the
 * server cannot be reached, once where it refuses. Where there is a {@link RouteCheck}, that has the last word, and is asked until it allows
 * the connection: clients wait meanwhile, a hold does not, since nothing of theirs is on its way.
 *
 * <p>Where another server of the fleet can become the primary, clients wait for that until {@link Outages#isTooLong}, however often it is tried
 * until then; each attempt goes to whoever is the primary now.
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
    /** The attempt that counts; those before it were given up. */
    private @Nullable Attempt current;

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

    /** Another server has become the primary: an attempt to connect to the former one has no end that anybody wants. */
    void primaryIs(String fleet, Endpoint primary) {
        Attempt given = current;
        boolean waitsForOther = given != null
                && key.server() == null
                && route.fleet().name().equals(fleet)
                && !given.server.equals(primary);
        if (given != null && waitsForOther && !ended) {
            current = null;
            given.giveUp();
            attempt();
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
        if (waitsForPrimary() && loop.outages().isDenied(route.fleet(), endpoint)) {
            unreachable("it says that it is no primary");
            return;
        }
        FleetTls tls = route.fleet().tls().orElse(null);
        if (endpoint.isUnix()) {
            connect(endpoint, loop.transport().unixAddress(endpoint.host()), null);
        } else if (tls == null && NetUtil.createByteArrayFromIpAddressString(endpoint.host()) != null) {
            connect(endpoint, new InetSocketAddress(endpoint.host(), endpoint.port()), null);
        } else {
            // Looking up a name, or reading a certificate, can take seconds, and may not stop the loop meanwhile.
            Thread.ofVirtual().start(() -> lookUp(endpoint, tls));
        }
    }

    private void lookUp(Endpoint endpoint, @Nullable FleetTls tls) {
        try {
            InetSocketAddress address = new InetSocketAddress(InetAddress.getByName(endpoint.host()), endpoint.port());
            SSLEngine engine = tls == null ? null : tls.engine(endpoint);
            loop.execute(() -> connect(endpoint, address, engine));
        } catch (UnknownHostException e) {
            loop.execute(() -> unreachable("its name is not known"));
        } catch (TlsException e) {
            loop.execute(() -> unreachable(String.valueOf(e.getMessage())));
        }
    }

    /** Looked up anew for each attempt, since another one may have become the primary. */
    private @Nullable Endpoint server() {
        Endpoint named = key.server();
        if (named != null) {
            return named;
        }
        return switch (loop.topology(route.fleet())) {
            case Topology.Replicated(Endpoint primary, List<Endpoint> _) -> primary;
            case Topology.Sharded(
                    List<Topology.Shard> shards,
                    int[] _) -> // for what is about no key; who is not there is not asked twice
                shards.isEmpty()
                        ? null
                        : shards.get(Math.max(0, attempts - 1) % shards.size()).primary();
            case null -> null;
        };
    }

    private String where() {
        Endpoint server = server();
        return route.fleet().name() + " at " + (server == null ? route.fleet().address() : server);
    }

    /** Clients need it, of a fleet in use whose primary can be another server soon. */
    private boolean waitsForPrimary() {
        return forClients && !ahead && key.server() == null && Outages.canChange(route.fleet());
    }

    private void connect(Endpoint server, SocketAddress address, @Nullable SSLEngine engine) {
        Duration timeout = loop.limits().connectTimeout();
        SslHandler encryption = engine == null ? null : Encryption.handler(engine, timeout);
        Attempt attempt = new Attempt(server, encryption);
        current = attempt;
        int timeoutMs = Math.toIntExact(timeout.toMillis());
        Bootstrap bootstrap = new Bootstrap()
                .group(loop.executor())
                .option(ChannelOption.ALLOCATOR, Transport.ALLOCATOR)
                .option(ChannelOption.CONNECT_TIMEOUT_MILLIS, timeoutMs)
                .handler(attempt);
        if (server.isUnix()) {
            bootstrap.channel(loop.transport().unixClientChannel());
        } else {
            bootstrap
                    .channel(loop.transport().clientChannel())
                    .option(ChannelOption.TCP_NODELAY, true)
                    .option(ChannelOption.SO_KEEPALIVE, true);
        }
        ChannelFuture connected = bootstrap.connect(address);
        connected.addListener(done -> {
            if (attempt.over) {
                connected.channel().close();
            } else if (!done.isSuccess()) {
                unreachable(Transport.words(done.cause()));
            } else if (encryption == null) {
                attempt.shakeHands(timeoutMs);
            } else {
                stage = "encrypts";
                encryption.handshakeFuture().addListener(encrypted -> encrypted(encrypted, attempt, timeoutMs));
            }
        });
    }

    private void encrypted(io.netty.util.concurrent.Future<?> handshake, Attempt attempt, int timeoutMs) {
        if (handshake.isSuccess()) {
            attempt.shakeHands(timeoutMs);
            return;
        }
        // Maybe the files are better by now: the next attempt uses them.
        route.fleet().tls().ifPresent(tls -> Thread.ofVirtual().start(tls::look));
        unreachable(TlsFailure.ofHandshake(handshake.cause(), timeoutMs));
    }

    /** One attempt's channel and handshake. */
    private final class Attempt extends ChannelInitializer<Channel> implements ReplySink {
        private @Nullable BackendConnection connection;
        private @Nullable Future<?> timeout;
        private @Nullable ByteBuf replies;
        private boolean over;
        private final Endpoint server;
        private final @Nullable SslHandler encryption;

        Attempt(Endpoint server, @Nullable SslHandler encryption) {
            this.server = server;
            this.encryption = encryption;
        }

        @Override
        protected void initChannel(Channel channel) {
            BackendConnection made = new BackendConnection(loop, key, route, server, channel);
            if (encryption != null) {
                channel.pipeline().addLast(encryption);
            }
            channel.pipeline().addLast(made);
            connection = made;
        }

        void giveUp() {
            end();
            BackendConnection made = connection;
            if (made != null) {
                made.close();
            }
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
            if (key.tracks()) {
                add(handshake, Wire.command("CLIENT", "TRACKING", "ON"));
                commands++;
            }
            if (key.reads() && route.fleet().address() instanceof FleetAddress.Cluster) {
                add(handshake, Wire.command("READONLY")); // else it sends each client to its primary
                commands++;
            }
            if (commands == 0 && mustBeHeard()) {
                // A server that has too many clients, or (TLS 1.3) does not take a certificate, says so only
                // afterwards.
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

        /** Whether a server that is asked nothing might say something all the same. */
        private boolean mustBeHeard() {
            return ahead || encryption != null;
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
            if (run.errors == 0 || (mustBeHeard() && mustAuthenticateFirst)) {
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
            if (waitsForPrimary() && NotPrimary.isSaidBy(error)) {
                loop.outages().denied(route.fleet(), server);
                unreachable(error.substring(1));
                return;
            }
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

    /** To one that is only read from: what becomes of it says nothing about the fleet. */
    private boolean isToReplica() {
        return key.reads();
    }

    private void unreachable(String why) {
        if (ended) {
            return;
        }
        current = null;
        if (waitsForPrimary()) {
            loop.outages().met(route.fleet());
        }
        boolean waits = waitsForPrimary() && !loop.outages().isTooLong(route.fleet());
        if (waits || attempts < loop.limits().connectAttemptsMax()) {
            stage = "failed: " + why;
            loop.executor().schedule(this::attempt, PAUSE_MS, TimeUnit.MILLISECONDS);
            return;
        }
        if (!isToReplica()) {
            loop.reached(waitsForPrimary() ? Limit.FAILOVER_WAIT : Limit.CONNECT_ATTEMPTS);
        }
        if (!ahead && !isToReplica()) {
            loop.reachability().failed(route, why);
        }
        failed("ERR switchback: fleet " + where() + " cannot be reached: " + why);
    }

    /** It is connected and authenticated. */
    private void stands(BackendConnection connection) {
        current = null;
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
        if (waitsForPrimary() && !connection.server.equals(server())) {
            unchecked = null;
            connection.close(); // another one has become the primary while this one waited for the ledger
            attempt();
            return;
        }
        if (connection.isOpen()) {
            unchecked = null;
            if (!isToReplica()) {
                loop.reachability().reached(route);
                loop.outages().reached(route.fleet());
            }
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
