package io.switchback.proxy;

import io.switchback.resp.Reply;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** What a server says of its own commands: COMMAND everywhere, COMMAND DOCS from Redis 7.0 on. */
final class ServerManual {

    /**
     * A command or subcommand.
     *
     * @param name in lower case, a subcommand as {@code config|get}
     * @param arity as in COMMAND: the number of words with the name's, negative where it is the least
     * @param group as in COMMAND DOCS, such as {@code sorted-set}; empty where the server does not say
     */
    record Command(String name, int arity, String group, List<Argument> arguments) {
        /** The words that it begins with on the wire. */
        List<String> words() {
            return List.of(name.toUpperCase(Locale.ROOT).split("\\|"));
        }
    }

    /**
     * @param id differs within its command
     * @param type as in COMMAND DOCS: {@code key}, {@code string}, {@code integer}, {@code oneof}, {@code block}, ...
     * @param token the word before it; may be empty
     */
    record Argument(
            int id,
            String name,
            String type,
            String token,
            boolean optional,
            boolean multiple,
            boolean multipleToken,
            List<Argument> arguments) {}

    private int nextId;

    private ServerManual() {}

    /** Every command and subcommand of the server. Those without documentation have arguments by arity and place of keys. */
    static List<Command> read(RawClient client) {
        ServerManual manual = new ServerManual();
        Map<String, Reply> docs = manual.docs(client);
        List<Command> commands = new ArrayList<>();
        for (Reply entry : elements(client.call("COMMAND"))) {
            manual.add(commands, elements(entry), docs);
        }
        return commands;
    }

    private Map<String, Reply> docs(RawClient client) {
        Map<String, Reply> docs = new HashMap<>();
        Reply reply = client.call("COMMAND", "DOCS");
        if (!reply.isError()) {
            collect(docs, reply);
        }
        return docs;
    }

    private static void collect(Map<String, Reply> docs, Reply reply) {
        List<Reply> pairs = elements(reply);
        for (int i = 0; i + 1 < pairs.size(); i += 2) {
            docs.put(pairs.get(i).text(), pairs.get(i + 1));
            Reply subcommands = fields(pairs.get(i + 1)).get("subcommands");
            if (subcommands != null) {
                collect(docs, subcommands);
            }
        }
    }

    private void add(List<Command> commands, List<Reply> entry, Map<String, Reply> docs) {
        String name = entry.getFirst().text().toLowerCase(Locale.ROOT);
        int arity = (int) number(entry.get(1));
        List<Reply> subcommands = entry.size() > 9 ? elements(entry.get(9)) : List.of();
        Reply doc = docs.get(name);
        Map<String, Reply> fields = doc == null ? Map.of() : fields(doc);
        Reply arguments = fields.get("arguments");
        Reply group = fields.get("group");
        List<Argument> read = arguments != null
                ? arguments(arguments)
                : doc != null ? List.of() : byArity(name, arity, entry.subList(3, 6));
        commands.add(new Command(name, arity, group == null ? "" : group.text(), read));
        for (Reply subcommand : subcommands) {
            add(commands, elements(subcommand), docs);
        }
    }

    private List<Argument> arguments(Reply reply) {
        List<Argument> arguments = new ArrayList<>();
        for (Reply one : elements(reply)) {
            Map<String, Reply> fields = fields(one);
            Reply flags = fields.get("flags");
            String flagged = flags == null ? "" : " " + flags.text().replaceAll("[\\[\\],]", " ") + " ";
            Reply token = fields.get("token");
            Reply inner = fields.get("arguments");
            arguments.add(new Argument(
                    nextId++,
                    text(fields.get("name")),
                    text(fields.get("type")),
                    token == null ? "" : token.text(),
                    flagged.contains(" optional "),
                    flagged.contains(" multiple "),
                    flagged.contains(" multiple_token "),
                    inner == null ? List.of() : arguments(inner)));
        }
        return arguments;
    }

    /** Keys where COMMAND says that there are keys, elsewhere anything. */
    private List<Argument> byArity(String name, int arity, List<Reply> keys) {
        long first = number(keys.get(0));
        long last = number(keys.get(1));
        long step = Math.max(1, number(keys.get(2)));
        List<Argument> arguments = new ArrayList<>();
        for (int i = 1; i < Math.abs(arity); i++) {
            boolean isKey = first > 0 && i >= first && (last < 0 || i <= last) && (i - first) % step == 0;
            boolean isTime = i == Math.abs(arity) - 1 && (name.startsWith("b") && name.contains("pop"));
            String type = isTime ? "double" : isKey ? "key" : "any";
            String shown = isTime || (name.equals("wait") && i == 2) ? "timeout" : isKey ? "key" : "any";
            arguments.add(new Argument(
                    nextId++, shown, type, "", false, arity < 0 && i == -arity - 1 && !isTime, false, List.of()));
        }
        return arguments;
    }

    static List<Reply> elements(Reply reply) {
        return reply instanceof Reply.Array(List<Reply> elements) ? elements : List.of();
    }

    private static Map<String, Reply> fields(Reply reply) {
        Map<String, Reply> fields = new HashMap<>();
        List<Reply> pairs = elements(reply);
        for (int i = 0; i + 1 < pairs.size(); i += 2) {
            fields.put(pairs.get(i).text(), pairs.get(i + 1));
        }
        return fields;
    }

    private static String text(@Nullable Reply reply) {
        return reply == null ? "" : reply.text();
    }

    private static long number(Reply reply) {
        return reply instanceof Reply.Int(long value) ? value : 0;
    }
}
