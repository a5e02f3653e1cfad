package io.switchback.resp;

import java.util.Locale;

/**
 * What a proxy may do with one command.
 *
 * @param name in lower case; a subcommand as {@code client|setname}
 * @param repeatable whether it may be sent again when its connection broke before it was answered: it changes nothing
 * @param note why it is refused, or what is special about it; may be empty
 * @param keys where its keys stand
 * @param placement where it goes in a cluster
 */
public record CommandRule(
        String name, Treatment treatment, boolean repeatable, String note, KeyPlaces keys, Placement placement) {

    /** Where a command goes in a cluster, whose keys are spread over shards by their slots. */
    public enum Placement {
        /** To the shard of its keys, which must be of one slot; to {@link #ONE} node where it names none. */
        KEYS("the shard of its keys"),
        /** Likewise; where its keys are of several slots it is split by them, and the replies are joined. */
        SPLIT("split by the slots of its keys, joined in their order"),
        /** To the primary of every shard, and the replies are joined. */
        EVERYWHERE("every shard, joined"),
        /** To one node, the same one while it is there. */
        ONE("one node"),
        /** Its subcommand decides. */
        BY_SUBCOMMAND(""),
        /** Switchback answers, as a cluster of one node. */
        SWITCHBACK("answered by Switchback"),
        /** It is refused: what it says or does is about one server. */
        REFUSED("refused");

        private final String words;

        Placement(String words) {
            this.words = words;
        }

        /** For people. */
        public String words() {
            return words;
        }
    }

    /** How a command is treated. */
    public enum Treatment {
        /** Sent as it is over a connection that many clients share: it leaves nothing behind on its connection. */
        PLAIN,
        /** Sent as it is, and what must not be seen is taken out of the reply, or a cursor rewritten. */
        FILTERED,
        /** Changes or tells what belongs to the session: the session itself sees to it. */
        SESSION,
        /** Plain; its script is remembered, so that a switch takes it along. */
        SCRIPT,
        /** Over a connection of the session's own where its arguments ask the server to wait; else plain. */
        BLOCKING,
        /** Its first argument decides: see the rules named {@code name|subcommand}. */
        BY_SUBCOMMAND,
        /** Answered by an error and never sent. */
        REFUSED
    }

    /** The command as a person writes it: in capitals, a subcommand behind a space. */
    public String words() {
        return name.replace("|*", "").replace('|', ' ').toUpperCase(Locale.ROOT);
    }
}
