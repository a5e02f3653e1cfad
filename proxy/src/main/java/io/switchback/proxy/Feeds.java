package io.switchback.proxy;

import io.switchback.fleet.Endpoint;
import io.switchback.resp.Protocol;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Over what one client's messages come from one fleet: the feed of its channels and patterns, and in front of a cluster one more for each shard of which it has
 * shard channels, since no other node hears of those. Elsewhere all of it comes over the first one. So there are no more of them than the fleet has shards, and one.
 *
 * <p>Owned by the session's event loop. The first one comes over the session's own connection, the others over connections that are here alone, so that whatever
 * the client does with its own one costs it no shard channel.
 */
final class Feeds {
    private final ClientSession session;
    /** Of channels and patterns; of everything where the fleet is no cluster. */
    private @Nullable Feed main;

    private Map<Endpoint, Shard> shards = Map.of();

    /** One shard's primary. */
    private final class Shard {
        final OwnConnection own = new OwnConnection(session);

        @Nullable
        Feed feed;
    }

    Feeds(ClientSession session) {
        this.session = session;
    }

    @Nullable
    Feed main() {
        return main;
    }

    void main(@Nullable Feed feed) {
        main = feed;
    }

    /** The feed of that shard; null where it has none. */
    @Nullable
    Feed at(Endpoint server) {
        Shard shard = shards.get(server);
        return shard == null ? null : shard.feed;
    }

    /** The feed that brings a shard channel from its shard; null where none does. */
    @Nullable
    Feed bringing(ByteBuffer channel) {
        for (Shard shard : shards.values()) {
            Feed feed = shard.feed;
            if (feed != null && feed.shardChannels().contains(channel)) {
                return feed;
            }
        }
        return null;
    }

    /** Those of shards. */
    List<Feed> ofShards() {
        List<Feed> feeds = new ArrayList<>(shards.size());
        for (Shard shard : shards.values()) {
            Feed feed = shard.feed;
            if (feed != null) {
                feeds.add(feed);
            }
        }
        return feeds;
    }

    List<Feed> all() {
        List<Feed> feeds = ofShards();
        Feed first = main;
        if (first != null) {
            feeds.addFirst(first);
        }
        return feeds;
    }

    boolean has(@Nullable Feed feed) {
        return feed != null && over(feed.connection) == feed;
    }

    @Nullable
    Feed over(BackendConnection connection) {
        Feed first = main;
        if (first != null && first.connection == connection) {
            return first;
        }
        for (Shard shard : shards.values()) {
            Feed feed = shard.feed;
            if (feed != null && feed.connection == connection) {
                return feed;
            }
        }
        return null;
    }

    // --- connections of shards

    private Shard shard(Endpoint server) {
        if (shards.isEmpty()) {
            shards = new LinkedHashMap<>();
        }
        return shards.computeIfAbsent(server, any -> new Shard());
    }

    /** The connection to that shard; null where it cannot be had now: the session is resumed when it can, or {@link #takeFailure} says why not. */
    @Nullable
    BackendConnection connection(Endpoint server) {
        OwnConnection own = shard(server).own;
        BackendConnection current = own.current();
        if (current != null && !current.isOpen()) {
            own.gone();
        }
        return own.get(session.key(Protocol.RESP3).at(server));
    }

    /** Why one of them cannot be had; said once. */
    @Nullable
    String takeFailure() {
        for (Shard shard : shards.values()) {
            String failure = shard.own.takeFailure();
            if (failure != null) {
                return failure;
            }
        }
        return null;
    }

    /** What comes over the {@link #connection} to that shard comes by this feed from now on. */
    void put(Endpoint server, Feed feed) {
        Shard shard = shard(server);
        shard.feed = feed;
        if (!shard.own.is(feed.connection)) {
            shard.own.opened(feed.connection);
        }
    }

    /** The connections of shards over which nothing comes any more, nor is kept, are given back, or closed where others must not use them. */
    void leaveUnused(boolean clean) {
        for (Endpoint server : List.copyOf(shards.keySet())) {
            Shard shard = shard(server);
            Feed feed = shard.feed;
            if (feed == null || (feed.shardChannels().isEmpty() && feed.isQuiet())) {
                shards.remove(server);
                if (feed != null) {
                    feed.release();
                }
                if (clean) {
                    shard.own.leaveForGood();
                } else {
                    shard.own.leave(false);
                }
            }
        }
    }

    /** The connection is gone, or somebody else's, and what came over it with it. */
    void remove(Feed feed) {
        if (main == feed) {
            main = null;
        }
        shards.values().removeIf(shard -> {
            if (shard.feed == feed) {
                shard.own.gone();
                return true;
            }
            return false;
        });
        feed.release();
    }

    /** What has been asked over those of shards is answered for as long as their connections live, and nobody hears it. */
    void clientGone() {
        for (Shard shard : List.copyOf(shards.values())) {
            Feed feed = shard.feed;
            if (feed != null) {
                feed.dropKept();
            }
            shard.own.clientGone();
        }
    }

    /** Nobody needs those of shards any more, whatever is unanswered there. */
    void discardShards() {
        List<Shard> former = List.copyOf(shards.values());
        shards = Map.of();
        for (Shard shard : former) {
            Feed feed = shard.feed;
            if (feed != null) {
                feed.release();
            }
            shard.own.discard();
        }
    }

    /** They are somebody else's from now on; what they were. */
    List<Feed> handOver() {
        List<Feed> feeds = all();
        for (Shard shard : shards.values()) {
            if (shard.feed == null) {
                shard.own.discard();
            } else {
                shard.own.gone();
            }
        }
        main = null;
        shards = Map.of();
        return feeds;
    }

    void pauseReading(boolean isFull) {
        for (Shard shard : shards.values()) {
            BackendConnection connection = shard.own.current();
            if (connection != null) {
                connection.pauseReading(isFull);
            }
        }
    }

    void readOn() {
        for (Shard shard : shards.values()) {
            BackendConnection connection = shard.own.current();
            if (connection != null) {
                connection.readOn();
            }
        }
    }
}
