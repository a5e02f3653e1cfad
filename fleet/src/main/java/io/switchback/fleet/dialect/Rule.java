package io.switchback.fleet.dialect;

import java.util.List;

/**
 * What Switchback knows of one command: from when on it exists, which of its words are options, and what becomes of it on
 * the way to a server that does not know it.
 *
 * @param name upper case; a subcommand's after its container's and a space
 * @param form where the options stand
 * @param first the index of the first option, or for {@link Form#COUNTED} of the count
 * @param width for {@link Form#COUNTED} how many words each counted item has
 * @param meaning since when it means what it means now; a stream of a newer server is rewritten for an older one
 * @param carrier how it comes down a stream
 */
record Rule(
        String name,
        Since since,
        Form form,
        int first,
        int width,
        List<Option> options,
        Since meaning,
        Rewriting rewriting,
        Carrier carrier) {

    /** Where the options of a command stand. */
    enum Form {
        /** There are none; its words mean the same in all versions. */
        PLAIN,
        /** From an index to the end. */
        TAIL,
        /** From an index up to the first word that is none. */
        HEAD,
        /** After a count and that many items, to the end. */
        COUNTED,
        /** From an index up to the word FIELDS. */
        FIELDS
    }

    /** How a client's command comes down the stream. */
    enum Carrier {
        /** By its own name, perhaps with its times made absolute. */
        ITSELF,
        /** As other, plainer commands; for those this rule only says what the guard must refuse. */
        EFFECTS,
        /** It belongs to the protocol, not to the data. */
        CONTROL
    }

    static Rule plain(String name) {
        return new Rule(name, Since.ALWAYS, Form.PLAIN, 0, 0, List.of(), Since.ALWAYS, Rewriting.NONE, Carrier.ITSELF);
    }

    static Rule control(String name) {
        return plain(name).carriedBy(Carrier.CONTROL);
    }

    static Rule effects(String name) {
        return plain(name).carriedBy(Carrier.EFFECTS);
    }

    static Rule tail(String name, int first, Option... options) {
        return plain(name).optionsAt(Form.TAIL, first, 0, options);
    }

    static Rule head(String name, int first, Option... options) {
        return plain(name).optionsAt(Form.HEAD, first, 0, options);
    }

    static Rule counted(String name, int first, int width, Option... options) {
        return plain(name).optionsAt(Form.COUNTED, first, width, options);
    }

    static Rule fields(String name, int first, Option... options) {
        return plain(name).optionsAt(Form.FIELDS, first, 0, options);
    }

    Rule optionsAt(Form form, int first, int width, Option... options) {
        return new Rule(name, since, form, first, width, List.of(options), meaning, rewriting, carrier);
    }

    Rule since(Since since) {
        return new Rule(name, since, form, first, width, options, meaning, rewriting, carrier);
    }

    Rule rewritten(Rewriting rewriting) {
        return new Rule(name, since, form, first, width, options, meaning, rewriting, carrier);
    }

    Rule meaning(Since meaning) {
        return new Rule(name, since, form, first, width, options, meaning, rewriting, carrier);
    }

    Rule carriedBy(Carrier carrier) {
        return new Rule(name, since, form, first, width, options, meaning, rewriting, carrier);
    }
}
