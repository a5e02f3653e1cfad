package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.proxy.SessionCommands.Verdict;
import java.util.List;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * CLIENT LIST and CLIENT KILL: of the proxy's clients, not of its own connections to the server. Whether the user may do that, the server says:
 * it is asked for the same of nobody.
 */
final class OtherClients extends FilteringOperation {
    private static final byte[][] NOBODY_LISTED = {bytes("CLIENT"), bytes("LIST"), bytes("TYPE"), bytes("replica")};
    private static final byte[][] NOBODY_KILLED = {bytes("CLIENT"), bytes("KILL"), bytes("ADDR"), bytes("0.0.0.0:0")};

    private final boolean kills;
    private final ClientFilter filter;
    /** CLIENT KILL with nothing but an address answers OK or an error, and not a number. */
    private final boolean byAddressAlone;

    private @Nullable ByteBuf answer;
    private boolean gathering;

    private OtherClients(ClientSession session, boolean kills, ClientFilter filter, boolean byAddressAlone) {
        super(session);
        this.kills = kills;
        this.filter = filter;
        this.byAddressAlone = byAddressAlone;
    }

    static Verdict list(ClientSession session, byte[][] command) {
        return judge(session, command, false, false);
    }

    static Verdict kill(ClientSession session, byte[][] command) {
        if (command.length == 2) {
            return SessionCommands.Refuse.misformed("ERR wrong number of arguments for 'client|kill' command");
        }
        return judge(session, command, true, command.length == 3);
    }

    private static Verdict judge(ClientSession session, byte[][] command, boolean kills, boolean byAddressAlone) {
        try {
            byte[][] words = byAddressAlone
                    ? new byte[][] {command[0], command[1], bytes("ADDR"), command[2], bytes("SKIPME"), bytes("no")}
                    : command;
            return new SessionCommands.Perform(
                    new OtherClients(session, kills, ClientFilter.read(words, 2), byAddressAlone));
        } catch (ClientFilter.Mistake e) {
            return new SessionCommands.Refuse(e.error());
        }
    }

    private static byte[] bytes(String word) {
        return word.getBytes(java.nio.charset.StandardCharsets.US_ASCII);
    }

    @Override
    void send(BackendConnection connection) {
        session.ask(connection, this, Wire.command(kills ? NOBODY_KILLED : NOBODY_LISTED), 1);
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        if (isError(reply)) {
            finish(reply.retain());
        } else {
            gathering = true;
            session.loop()
                    .all()
                    .ask(
                            session.loop(),
                            clients -> clients.filter(filter::fits)
                                    .filter(client -> client != session || !skipsMe())
                                    .map(client -> new Found(client, ClientCommands.info(client)))
                                    .toList(),
                            this::found);
        }
    }

    private boolean skipsMe() {
        Boolean said = filter.skipMe();
        return said == null ? kills : said;
    }

    private record Found(ClientSession client, String line) {}

    private void found(List<Found> found) {
        gathering = false;
        if (!kills) {
            byte[] lines = found.stream()
                    .map(Found::line)
                    .collect(Collectors.joining())
                    .getBytes(java.nio.charset.StandardCharsets.ISO_8859_1);
            answer = Wire.verbatim(session.identity.protocol(), lines);
        } else {
            found.forEach(one -> one.client()
                    .loop()
                    .execute(one.client() == session ? session::closeAfterReplies : one.client()::close));
            answer = byAddressAlone
                    ? found.isEmpty() ? Wire.error("ERR No such client") : Wire.ok()
                    : Wire.number(found.size());
        }
        ByteBuf reply = answer;
        answer = null;
        finish(reply);
        session.loop().resumeLater(session);
    }

    @Override
    void clientGone() {
        if (gathering) {
            gathering = false; // the answer finds nobody
        }
    }
}
