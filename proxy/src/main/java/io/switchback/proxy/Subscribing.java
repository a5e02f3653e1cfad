package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.nio.charset.StandardCharsets.UTF_8;

import io.netty.buffer.ByteBuf;
import io.switchback.proxy.Subscriptions.Kind;
import io.switchback.resp.KeySlot;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Commands over one feed that nobody has sent but the proxy, and their answers, which no client sees. A hold waits for them. Owned by the session's event loop.
 */
final class Subscribing {
    private final ClientSession session;
    private final Feed feed;
    private final Consumer<String> ended;
    private String refusal = "";
    private int open = 1;

    /** {@code ended} hears what the server refused, or "", once {@link #complete} was called and all of it is answered. */
    Subscribing(ClientSession session, Feed feed, Consumer<String> ended) {
        this.session = session;
        this.feed = feed;
        this.ended = ended;
        session.loop().bringingBegan();
    }

    /** With {@code counted}, they count as that client's own. */
    Subscribing add(Kind kind, boolean adds, Set<ByteBuffer> names, @Nullable ClientSession counted) {
        String command = adds ? kind.adding : kind.removing;
        commands(kind, names).forEach(some -> send(command, some, counted));
        return this;
    }

    /** The names that go with one such command each: a cluster takes shard channels of one slot at a time. */
    static Collection<Set<ByteBuffer>> commands(Kind kind, Set<ByteBuffer> names) {
        if (kind != Kind.SHARD) {
            return names.isEmpty() ? List.of() : List.of(names);
        }
        Map<Integer, Set<ByteBuffer>> bySlot = new TreeMap<>();
        for (ByteBuffer name : names) {
            bySlot.computeIfAbsent(slot(name), none -> new LinkedHashSet<>()).add(name);
        }
        return bySlot.values();
    }

    static int slot(ByteBuffer name) {
        return KeySlot.of(bytes(name));
    }

    static ByteBuf command(String name, Iterable<ByteBuffer> arguments) {
        List<byte[]> command = new ArrayList<>();
        command.add(name.getBytes(US_ASCII));
        for (ByteBuffer argument : arguments) {
            command.add(bytes(argument));
        }
        return Wire.command(command.toArray(byte[][]::new));
    }

    private static byte[] bytes(ByteBuffer name) {
        byte[] bytes = new byte[name.remaining()];
        name.duplicate().get(bytes);
        return bytes;
    }

    private void send(String command, Set<ByteBuffer> names, @Nullable ClientSession counted) {
        open++;
        Feed.Asked asked = new Feed.Asked(command, names) {
            private final StringBuilder said = new StringBuilder();

            @Override
            void confirmed(PushMessage message) {}

            @Override
            public void receive(Run run, ByteBuf in, int index, int length) {
                said.append(in.toString(index, length, UTF_8));
            }

            @Override
            public void answered(Run run) {
                feed.ended(this);
                if (!said.isEmpty()) {
                    refusal = said.toString().strip();
                }
                over(run);
            }

            @Override
            public void lost(Run run, String why) {
                refusal = "-ERR the connection was lost: " + why;
                over(run);
            }

            private void over(Run run) {
                if (counted != null) {
                    counted.operationRepliedTo(run);
                }
                complete();
            }
        };
        feed.asks(asked);
        Run run = new Run(
                counted, command(command, names), 1, asked, session.loop().nanoTime(), 1);
        if (counted != null) {
            counted.ask(feed.connection, run);
        } else {
            feed.connection.send(run);
        }
    }

    /** All has been sent. */
    void complete() {
        open--;
        if (open == 0) {
            session.loop().bringingEnded();
            ended.accept(refusal.isEmpty() ? "" : refusal.substring(1));
        }
    }
}
