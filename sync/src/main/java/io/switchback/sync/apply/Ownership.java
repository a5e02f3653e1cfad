package io.switchback.sync.apply;

import io.switchback.fleet.Token;
import io.switchback.resp.Reply;
import java.io.IOException;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Who may write over a link, as each primary of its target keeps it: the owner's token, which a newer one displaces and an older one never does (docs/apply.md, Two
 * owners).
 *
 * <p>Whoever claims it has named its connection before, and has every other connection of the link killed after it. So a former owner either finds the newer token, or is
 * among those that are killed, and the reply to CLIENT KILL says that nothing it has sent is run any more.
 */
final class Ownership {
    /** No connection's id. */
    static final long NOBODY = -1;

    private static final int ATTEMPTS_MAX = 10;
    private static final Pattern CLIENT = Pattern.compile("(?:^|\\n)id=(\\d+) [^\\n]*?\\bname=(\\S*)");

    private Ownership() {}

    /** Asks a server, and throws where it answers with an error. */
    @FunctionalInterface
    interface Server {
        Reply demand(String... words) throws IOException;
    }

    /** Writes the token to the server, unless a newer one is there; which is the result then. */
    static Optional<Token> claim(Server server, String key, Token token) throws IOException {
        for (int attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
            server.demand("WATCH", key);
            Optional<Token> present = Token.parse(server.demand("GET", key).text());
            if (present.filter(token::isOlderThan).isPresent()) {
                server.demand("UNWATCH");
                return present;
            }
            server.demand("MULTI");
            server.demand("SET", key, token.text());
            if (server.demand("EXEC") instanceof Reply.Array) {
                return Optional.empty();
            }
        }
        throw new IOException("the key " + key + " was written " + ATTEMPTS_MAX + " times while it was claimed");
    }

    /** Kills every connection of the link but this one; what they have sent is either done when this returns, or never will be. */
    static void killOthers(Server server, String link, long ownId) throws IOException {
        Matcher client = CLIENT.matcher(server.demand("CLIENT", "LIST").text());
        while (client.find()) {
            long id = Long.parseLong(client.group(1));
            if (client.group(2).equals(clientName(link)) && id != ownId) {
                server.demand("CLIENT", "KILL", "ID", Long.toString(id), "SKIPME", "yes");
            }
        }
    }

    /** What the connections of a link are called at its target. */
    static String clientName(String link) {
        return "switchback-apply-" + link;
    }
}
