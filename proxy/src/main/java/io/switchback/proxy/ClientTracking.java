package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.proxy.SessionCommands.Verdict;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/**
 * CLIENT TRACKING and CLIENT CACHING: asked on the session's own connection, over which its commands go as long as it tracks. Where it names
 * a client to redirect to, that is looked for on every event loop, since ids are the proxy's; what is wrong with the words the server says.
 */
final class ClientTracking extends AskingOperation {
    /** What no client of a server is called. */
    private static final byte[] NOBODY = "0".getBytes(StandardCharsets.US_ASCII);

    private final byte[][] command;
    private final boolean tracks;
    /** Where ids of clients stand in it. */
    private final List<Integer> ids;

    private boolean looked;
    private boolean looking;
    private boolean clientIsGone;
    private @Nullable Redirect redirect;

    private ClientTracking(ClientSession session, byte[][] command, boolean tracks) {
        super(session);
        this.command = command;
        this.tracks = tracks;
        this.ids = tracks ? ids(command) : List.of();
    }

    static Verdict judge(ClientSession session, byte[][] command) {
        boolean tracks = SessionCommands.word(command, 1).equals("TRACKING");
        if (tracks && session.tracking.isFull()) {
            return new SessionCommands.Refuse("ERR switchback: CLIENT TRACKING was said " + Tracking.COMMANDS_MAX
                    + " times; turn it off before you turn it on anew");
        }
        if (tracks && session.tracking.isTooLong(command)) {
            session.loop().reached(Limit.TRACKING_BYTES);
            return new SessionCommands.Refuse(
                    "ERR switchback: what one client says to CLIENT TRACKING may have no more than "
                            + session.loop().limits().trackingBytesMax() + " bytes together, with 32 for each word");
        }
        if (!session.loop().isSharded()) {
            return new SessionCommands.Perform(new ClientTracking(session, command, tracks));
        }
        if (tracks && !ids(command).isEmpty()) {
            return new SessionCommands.Refuse(
                    "ERR switchback: CLIENT TRACKING with REDIRECT is not supported in front of a"
                            + " cluster; without it invalidations come over the client's own connection, in RESP3");
        }
        return new SessionCommands.Perform(new ShardTracking.Asking(session, command));
    }

    /** As the servers read it: a prefix may be called as an option is. */
    private static List<Integer> ids(byte[][] command) {
        List<Integer> found = new ArrayList<>(1);
        for (int i = 3; i + 1 < command.length; i++) {
            String word = SessionCommands.word(command, i);
            if (word.equals("REDIRECT")) {
                found.add(++i);
            } else if (word.equals("PREFIX")) {
                i++;
            }
        }
        return found;
    }

    private boolean turnsOff() {
        return tracks && command.length > 2 && SessionCommands.word(command, 2).equals("OFF");
    }

    // --- the client that is named

    @Override
    @Nullable
    BackendConnection connection() {
        if (session.loop().isSharded()) {
            return handOver();
        }
        if (!looked) {
            looked = true;
            look();
        }
        if (looking) {
            return null;
        }
        BackendConnection own = session.own().get();
        Redirect to = redirect;
        return own != null && (to == null || to.isReady()) ? own : null;
    }

    /** A switch has led to a cluster. */
    private @Nullable BackendConnection handOver() {
        session.tracking.wants(null);
        switch (judge(session, command)) {
            case SessionCommands.Perform(Operation next) -> {
                session.perform(next);
                session.loop().resumeLater(session);
            }
            case SessionCommands.Refuse(String why, boolean _) -> finish(Wire.error(why));
            case SessionCommands.Send _, SessionCommands.Close _ -> throw new AssertionError("it is none of these");
        }
        return null;
    }

    private void look() {
        OptionalLong id = ids.isEmpty() ? OptionalLong.empty() : ClientId.read(command[ids.getFirst()]);
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
            if (clientIsGone) {
                one.end();
            } else {
                session.tracking.wants(one);
            }
        }
        session.loop().resumeLater(session);
    }

    @Override
    void clientGone() {
        clientIsGone = true;
    }

    @Override
    @Nullable
    String failure() {
        String failure = session.own().takeFailure();
        return failure == null && redirect != null ? redirect.takeFailure() : failure;
    }

    @Override
    void failed(String failure) {
        session.tracking.wants(null);
        super.failed(failure);
    }

    // --- the server

    @Override
    void send(BackendConnection connection) {
        session.subscriptions.feed(connection); // what is invalidated comes over it
        session.ask(connection, this, Wire.command(asTheServerKnowsIt()), 1);
    }

    private byte[][] asTheServerKnowsIt() {
        byte[][] known = command.clone();
        for (int i : ids) {
            if (ClientId.read(command[i]).isPresent()) {
                known[i] = redirect == null ? NOBODY : redirect.serverId();
            }
        }
        return known;
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        if (isError(reply)) {
            session.tracking.wants(null);
        } else if (turnsOff()) {
            session.tracking.off();
        } else if (tracks) {
            session.tracking.on(withoutRedirect());
        } else {
            session.tracking.ofNext(command);
        }
        if (!session.needsOwnConnection()) {
            session.leaveOwnConnection(true);
        }
        finish(reply.retain());
    }

    private byte[][] withoutRedirect() {
        List<byte[]> words = new ArrayList<>();
        for (int i = 0; i < command.length; i++) {
            if (!ids.contains(i) && !ids.contains(i + 1)) {
                words.add(command[i]);
            }
        }
        return words.toArray(byte[][]::new);
    }

    @Override
    void lost(String why) {
        if (!repeat()) {
            session.tracking.wants(null);
            super.lost(why);
        }
    }
}
