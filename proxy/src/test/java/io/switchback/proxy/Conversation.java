package io.switchback.proxy;

import io.switchback.fleet.Endpoint;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Commands of clients, and what each of them has got after each command, wherever it is connected. */
final class Conversation implements AutoCloseable {
    private final Endpoint at;
    /** Of a cluster's servers each says by itself that everything is to be forgotten; and what changes while something is under way is told twice. */
    private final boolean repeats;
    /** What each has been told last. */
    private final Map<Integer, String> told = new HashMap<>();

    private final List<RawClient> clients = new ArrayList<>();
    private final List<String> ids = new ArrayList<>();
    private final StringBuilder written = new StringBuilder();

    Conversation(Endpoint at, boolean repeats) {
        this.at = at;
        this.repeats = repeats;
    }

    int join(String... hello) {
        RawClient client = new RawClient(at);
        clients.add(client);
        if (hello.length > 0) {
            client.text(hello);
        }
        ids.add(client.text("CLIENT", "ID"));
        return clients.size() - 1;
    }

    /** {@code #0} in it is the first client's id. */
    void say(int who, String... command) {
        String[] words = command.clone();
        for (int i = 0; i < words.length; i++) {
            if (words[i].startsWith("#")) {
                words[i] = ids.get(Integer.parseInt(words[i].substring(1)));
            }
        }
        written.append(who).append("> ").append(String.join(" ", command)).append('\n');
        clients.get(who).send(words);
        hears(who);
    }

    void hears(int who) {
        String heard = next(who);
        while (isRepeated(who, heard)) {
            heard = next(who);
        }
        if (heard.contains("invalidate ")) {
            told.put(who, heard);
        }
        written.append(who).append("< ").append(heard).append('\n');
    }

    private String next(int who) {
        return shown(clients.get(who).rawReply());
    }

    private boolean isRepeated(int who, String heard) {
        return repeats && heard.equals(told.get(who));
    }

    void hearsNothing(int who) {
        boolean nothing = true;
        while (nothing && clients.get(who).hasReplyWithin(150)) {
            nothing = isRepeated(who, next(who));
        }
        written.append(who).append(nothing ? "< nothing\n" : "< something\n");
    }

    void leaves(int who) {
        clients.get(who).leave();
    }

    private String shown(String reply) {
        String shown = reply.replace("\r\n", " ");
        for (int i = 0; i < ids.size(); i++) {
            shown = shown.replace(":" + ids.get(i) + " ", ":#" + i + " ");
        }
        return shown;
    }

    /** All of it. */
    String written() {
        return written.toString();
    }

    @Override
    public void close() {
        clients.forEach(RawClient::close);
    }
}
