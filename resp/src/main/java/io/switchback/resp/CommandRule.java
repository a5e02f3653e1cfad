package io.switchback.resp;

import java.util.Locale;

/**
 * What a proxy may do with one command.
 *
 * @param name in lower case; a subcommand as {@code client|setname}
 * @param repeatable whether it may be sent again when its connection broke before it was answered: it changes nothing
 * @param note why it is refused, or what is special about it; may be empty
 */
public record CommandRule(String name, Treatment treatment, boolean repeatable, String note) {

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
