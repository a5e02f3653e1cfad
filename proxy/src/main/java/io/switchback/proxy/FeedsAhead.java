package io.switchback.proxy;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.Topology;
import io.switchback.proxy.Subscriptions.Kind;
import io.switchback.resp.Protocol;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What a client is subscribed to, at the fleet to which a switch is about to lead: the same as at the one in use, over as many feeds as that fleet needs for it. What the
 * client subscribes to meanwhile follows, over one more feed where it is of a shard that had none.
 *
 * <p>Owned by the session's event loop. What cannot be had is no reason to give a switch up once it was prepared: it is subscribed to anew when the switch is done,
 * and the log says so.
 */
final class FeedsAhead {
    private static final Logger LOG = LoggerFactory.getLogger(FeedsAhead.class);

    private final ClientSession session;
    private final Subscriptions subscriptions;
    private final BackendRoute next;
    /** Of the feed of channels and patterns; those of shards lead to their servers. */
    private final ConnectionKey any;

    private final Feeds feeds;
    private final Map<ConnectionKey, BackendOpening> openings = new HashMap<>();

    FeedsAhead(ClientSession session, Subscriptions subscriptions, BackendRoute next) {
        this.session = session;
        this.subscriptions = subscriptions;
        this.next = next;
        this.any = session.key(Protocol.RESP3);
        this.feeds = new Feeds(session);
    }

    Feeds feeds() {
        return feeds;
    }

    /** {@code told} hears why that cannot be done, as soon as that is known, or "" once it is. */
    void open(Consumer<String> told) {
        Set<ConnectionKey> wanted = new LinkedHashSet<>();
        if (!namesOf(any).isEmpty()) {
            wanted.add(any);
        }
        if (cluster() != null) {
            for (ByteBuffer channel : subscriptions.names(Kind.SHARD)) {
                Endpoint server = server(channel);
                if (server == null) {
                    told.accept("client " + session.address() + " is subscribed to shard channel "
                            + StandardCharsets.UTF_8.decode(channel.duplicate())
                            + " (SSUBSCRIBE), whose slot nobody has in fleet "
                            + next.fleet().name());
                    return;
                }
                wanted.add(any.at(server));
            }
        }
        Consumer<String> each = onceAllHave(wanted.size(), told);
        wanted.forEach(key -> open(key, each));
    }

    /** Hears that many times what has become of one of them; {@code told} hears it once. */
    private static Consumer<String> onceAllHave(int count, Consumer<String> told) {
        int[] missing = {count};
        return refusal -> {
            boolean isOver = missing[0] == 0;
            missing[0] = refusal.isEmpty() && !isOver ? missing[0] - 1 : 0;
            if (!isOver && missing[0] == 0) {
                told.accept(refusal);
            }
        };
    }

    private Topology.@Nullable Sharded cluster() {
        return session.loop().topology(next.fleet()) instanceof Topology.Sharded sharded ? sharded : null;
    }

    /** Where a shard channel belongs; null where nobody has its slot, or the fleet is no cluster. */
    private @Nullable Endpoint server(ByteBuffer channel) {
        Topology.Sharded sharded = cluster();
        Topology.Shard shard = sharded == null ? null : sharded.shardOf(Subscribing.slot(channel));
        return shard == null ? null : shard.primary();
    }

    private void open(ConnectionKey key, Consumer<String> ended) {
        BackendOpening begun = new BackendOpening(session.loop(), key, next, new BackendOpening.Result() {
            @Override
            public void opened(BackendConnection connection) {
                openings.remove(key);
                session.loop().backends().openedFor(session, connection);
                Feed feed = subscriptions.newFeed(connection);
                Endpoint server = key.server();
                if (server == null) {
                    feeds.main(feed);
                } else {
                    feeds.put(server, feed);
                }
                // The marks first: a user who may not read them is told so, and gets the messages all the same.
                subscriptions.lookOutForMarks(feed);
                Subscribing all = new Subscribing(session, feed, ended);
                namesOf(key).forEach((kind, names) -> all.add(kind, true, names, null));
                all.complete();
            }

            @Override
            public void failed(String error) {
                openings.remove(key);
                ended.accept(error);
            }

            @Override
            public void superseded() {
                failed("the route has changed");
            }

            @Override
            public boolean isWanted() {
                return !session.isClosed();
            }
        });
        openings.put(key, begun);
        begun.start();
    }

    /** What comes by the feed over that connection. */
    private Map<Kind, Set<ByteBuffer>> namesOf(ConnectionKey key) {
        Map<Kind, Set<ByteBuffer>> names = new LinkedHashMap<>();
        for (Kind kind : Kind.values()) {
            Set<ByteBuffer> some = new LinkedHashSet<>(subscriptions.names(kind));
            some.removeIf(name -> !keyOf(kind, name).equals(key));
            if (!some.isEmpty()) {
                names.put(kind, some);
            }
        }
        return names;
    }

    private ConnectionKey keyOf(Kind kind, ByteBuffer name) {
        return kind == Kind.SHARD ? any.at(server(name)) : any;
    }

    /** The client has subscribed to these, or no longer is, since this was opened. */
    void changed(Kind kind, boolean adds, Set<ByteBuffer> names) {
        Map<ConnectionKey, Set<ByteBuffer>> byKey = new LinkedHashMap<>();
        for (ByteBuffer name : names) {
            byKey.computeIfAbsent(keyOf(kind, name), none -> new LinkedHashSet<>())
                    .add(name);
        }
        byKey.forEach((key, some) -> {
            Endpoint server = key.server();
            Feed feed = server == null ? feeds.main() : feeds.at(server);
            if (feed != null) {
                new Subscribing(session, feed, this::warn)
                        .add(kind, adds, some, null)
                        .complete();
            } else if (adds && !openings.containsKey(key)) {
                open(key, this::warn);
            }
        });
    }

    private void warn(String refusal) {
        if (!refusal.isEmpty() && !session.isClosed()) {
            LOG.warn(
                    "client {}: fleet {}, which comes next, does not take a subscription before the switch: {}",
                    session.address(),
                    next.fleet().name(),
                    refusal);
        }
    }

    /** A feed is lost, or has lost a shard channel: what it brought is subscribed to anew when the switch is done. */
    void lost(Feed feed) {
        LOG.warn(
                "client {}: subscriptions at fleet {}, which comes next, are lost at {}",
                session.address(),
                next.fleet().name(),
                feed.connection.server);
        feeds.remove(feed);
    }

    /** Nothing more is opened; what is there is the caller's. */
    List<Feed> handOver() {
        endOpenings();
        return feeds.handOver();
    }

    /** Nothing more is opened. */
    void endOpenings() {
        List<BackendOpening> unfinished = List.copyOf(openings.values());
        openings.clear();
        unfinished.forEach(BackendOpening::giveUp);
    }

    /** Whether what it leads to is what the client's own connection would lead to now. */
    boolean isOf(ConnectionKey key) {
        return any.equals(key);
    }
}
