package io.switchback.proxy;

import io.switchback.fleet.Endpoint;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/**
 * One CLIENT TRACKING or CLIENT CACHING, and the client that it names to redirect to, which is looked for on every event loop, since ids are the proxy's. What is wrong with the words the servers say.
 * Owned by the event loop of the session that says it.
 */
final class TrackingCommand {
    /** What no client of a server is called. */
    private static final byte[] NOBODY = "0".getBytes(StandardCharsets.US_ASCII);

    private final ClientSession session;
    private final byte[][] words;
    private final boolean tracks;
    /** Where ids of clients stand in it. */
    private final List<Integer> ids;

    private boolean looked;
    private boolean looking;
    private boolean abandoned;
    private @Nullable Redirect redirect;

    TrackingCommand(ClientSession session, byte[][] words) {
        this.session = session;
        this.words = words;
        this.tracks = SessionCommands.word(words, 1).equals("TRACKING");
        this.ids = tracks ? ids(words) : List.of();
    }

    /** As the servers read it: a prefix may be called as an option is. */
    private static List<Integer> ids(byte[][] words) {
        List<Integer> found = new ArrayList<>(1);
        for (int i = 3; i + 1 < words.length; i++) {
            String word = SessionCommands.word(words, i);
            if (word.equals("REDIRECT")) {
                found.add(++i);
            } else if (word.equals("PREFIX")) {
                i++;
            }
        }
        return found;
    }

    /** CLIENT TRACKING, not CLIENT CACHING. */
    boolean tracks() {
        return tracks;
    }

    boolean turnsOff() {
        return tracks && words.length > 2 && SessionCommands.word(words, 2).equals("OFF");
    }

    // --- the client that is named

    /** Whether it is known who that is. If not, that is seen to, and the session resumed. */
    boolean knowsTarget() {
        if (!looked) {
            looked = true;
            look();
        }
        return !looking;
    }

    /** To it; null where nobody is named who is there. */
    @Nullable
    Redirect redirect() {
        return redirect;
    }

    private void look() {
        OptionalLong id = ids.isEmpty() ? OptionalLong.empty() : ClientId.read(words[ids.getFirst()]);
        if (id.isPresent()) {
            looking = true;
            // The server wants to hear of somebody with OFF as well, of whom nothing becomes.
            boolean off = turnsOff();
            session.loop()
                    .all()
                    .ask(
                            session.loop(),
                            clients -> clients.filter(client -> client.identity.id() == id.getAsLong())
                                    .map(client -> off ? new Redirect(session, session) : client.redirectedBy(session))
                                    .toList(),
                            this::found);
        }
    }

    private void found(List<Redirect> found) {
        looking = false;
        for (Redirect one : found) {
            redirect = one;
            if (abandoned) {
                one.end();
            } else {
                session.tracking.wants(one);
            }
        }
        session.loop().resumeLater(session);
    }

    /** Nobody asks any more: whoever is still found is let go. */
    void abandon() {
        abandoned = true;
    }

    // --- the words

    /** As the client has said it. */
    byte[][] words() {
        return words;
    }

    /** For that server of a cluster; null in front of none. */
    byte[][] asTheServerKnowsIt(@Nullable Endpoint server) {
        byte[][] known = words.clone();
        for (int i : ids) {
            if (ClientId.read(words[i]).isPresent()) {
                known[i] = redirect == null ? NOBODY : redirect.serverId(server);
            }
        }
        return known;
    }

    byte[][] withoutRedirect() {
        List<byte[]> rest = new ArrayList<>();
        for (int i = 0; i < words.length; i++) {
            if (!ids.contains(i) && !ids.contains(i + 1)) {
                rest.add(words[i]);
            }
        }
        return rest.toArray(byte[][]::new);
    }
}
