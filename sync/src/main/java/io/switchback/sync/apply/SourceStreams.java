package io.switchback.sync.apply;

import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerVersion.Product;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import io.switchback.sync.rdb.DumpReader;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The source's streams: what their groups have read and acknowledged changes without a word of the source, since no reader's cache would mind. So they are looked at again and again; for the link's own
 * thread.
 *
 * <p>Bounded by {@link #KEYS_MAX}; past it the link cannot keep its promises, and {@link #tooMany} says so.
 */
final class SourceStreams {
    static final int KEYS_MAX = 64 * 1024;
    private static final int AT_ONCE = 256;
    private static final int CHECKSUM_BYTES = 8;
    /** Of a stream of which nothing was sent. */
    private static final long NOTHING = 0;

    /**
     * What is known of a stream.
     *
     * @param checksum of the form of it that was sent last
     * @param groups   whether it may have groups at the target
     */
    private record Known(long checksum, boolean groups) {}

    private final Map<Key, Known> known = new LinkedHashMap<>();
    private boolean tooMany;

    /** Takes note of a state that was read; whether it is another than before. */
    boolean seen(SourceStates.State state, Product source) {
        byte @Nullable [] payload = state.payload();
        if (payload == null || !DumpReader.mayBeStream(payload, source)) {
            known.remove(state.key());
            return true;
        }
        long checksum = checksum(payload);
        Known before = known.get(state.key());
        put(state.key(), new Known(checksum, before == null || before.groups()));
        return before == null || before.checksum() != checksum;
    }

    /** A stream of which the target may have something else. */
    void found(Key key) {
        put(key, new Known(NOTHING, true));
    }

    private void put(Key key, Known what) {
        if (known.size() >= KEYS_MAX && !known.containsKey(key)) {
            tooMany = true;
        } else {
            known.put(key, what);
        }
    }

    private static long checksum(byte[] payload) {
        long checksum = 0;
        for (int i = payload.length - CHECKSUM_BYTES; i < payload.length; i++) {
            checksum = (checksum << Byte.SIZE) | (payload[i] & 0xff);
        }
        return checksum;
    }

    boolean tooMany() {
        return tooMany;
    }

    /** Has those looked at whose groups may be others than the target has. */
    void look(ServerConnection source, StateCopy copy, Place from) throws IOException {
        List<Key> keys = List.copyOf(known.keySet());
        for (int first = 0; first < keys.size(); first += AT_ONCE) {
            copy.copyChanged(withGroups(source, keys.subList(first, Math.min(keys.size(), first + AT_ONCE))), from);
        }
    }

    private List<Key> withGroups(ServerConnection source, List<Key> keys) {
        List<byte[][]> commands = new ArrayList<>();
        for (Key key : keys) {
            commands.add(CommandEncoder.bytes("SELECT", Integer.toString(key.database())));
            commands.add(new byte[][] {Lanes.word("XINFO"), Lanes.word("GROUPS"), key.name()});
        }
        List<Reply> replies = source.pipeline(commands);
        List<Key> wanted = new ArrayList<>();
        for (int i = 0; i < keys.size(); i++) {
            Known before = known.get(keys.get(i));
            // An error says that it is gone or something else by now: its state will say what.
            boolean none = replies.get(2 * i + 1) instanceof Reply.Array(List<Reply> groups) && groups.isEmpty();
            if (before != null && (before.groups() || !none)) {
                wanted.add(keys.get(i));
                known.put(keys.get(i), new Known(before.checksum(), !none));
            }
        }
        return wanted;
    }
}
