package io.switchback.fleet.dialect;

import io.switchback.fleet.dialect.Option.Missing;
import io.switchback.fleet.dialect.Rule.Carrier;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * One rule as it applies between one source and one target: which of its options the target knows, and so what becomes of
 * a command. Immutable, for any thread.
 */
final class TargetRule {

    /** What becomes of one command. */
    sealed interface Judgement {
        /** The target takes it as it stands. */
        record Passes() implements Judgement {}

        /** Without the words from each {@code from} up to each {@code to} it is to the same effect. */
        record Drops(int[] from, int[] to) implements Judgement {}

        /** The rule's rewriting carries it; the words of {@code drops} are left out before. */
        record Rewrites(@Nullable Drops drops) implements Judgement {}

        /** Nothing carries it. */
        record Refuses(String why) implements Judgement {}

        /** A word that is none of the command's options; a server that the table covers answers a syntax error. */
        record Strays(String why) implements Judgement {}
    }

    private static final Judgement PASSES = new Judgement.Passes();
    private static final Judgement REWRITES = new Judgement.Rewrites(null);
    private static final int DROPS_MAX = 8;

    private final Rule rule;
    private final Dialect target;
    private final Option[] options;
    private final boolean[] known;
    private final boolean present;
    private final @Nullable CommandShape shape;
    private final boolean changedMeaning;

    TargetRule(Rule rule, Dialect source, Dialect target) {
        this.rule = rule;
        this.target = target;
        this.options = rule.options().toArray(Option[]::new);
        this.known = new boolean[options.length];
        for (int i = 0; i < options.length; i++) {
            known[i] = options[i].since().knows(target.version());
        }
        String[] names = rule.name().split(" ", 2);
        Optional<CommandShape> command = target.commands().shape(names[0]);
        if (names.length == 1) {
            this.shape = command.orElse(null);
            this.present = command.isPresent();
        } else if (command.isPresent() && !command.get().subcommands().isEmpty()) {
            this.shape = command.get().subcommands().get(names[1].toLowerCase(java.util.Locale.ROOT));
            this.present = shape != null;
        } else {
            // The server does not tell its subcommands (before 7.0), or it is no subcommand for it (BITOP AND).
            this.shape = command.orElse(null);
            this.present = command.isPresent() && rule.since().knows(target.version());
        }
        this.changedMeaning =
                rule.meaning().knows(source.version()) && !rule.meaning().knows(target.version());
    }

    Rule rule() {
        return rule;
    }

    /** Whether the target has the command itself. */
    boolean present() {
        return present;
    }

    /** Whether a command of this name can be refused at all; where not, {@link #judge} need not be asked by the guard. */
    boolean canRefuse() {
        if (rule.carrier() == Carrier.CONTROL) {
            return false;
        }
        boolean effects = rule.carrier() == Carrier.EFFECTS;
        for (int i = 0; i < options.length; i++) {
            if (!known[i] && options[i].missing() == Missing.REFUSED) {
                return true;
            }
        }
        return !effects
                && ((!present && rule.rewriting() == Rewriting.NONE)
                        || rule.rewriting().mayFail());
    }

    /** Whether it has options at all. */
    boolean hasOptions() {
        return rule.form() != Rule.Form.PLAIN;
    }

    /** What becomes of {@code command}, which has this rule's name. */
    Judgement judge(byte[][] command) {
        boolean rewrites = rule.rewriting().always() || changedMeaning;
        boolean effects = rule.carrier() == Carrier.EFFECTS; // it does not itself go to the target
        if (!present && !effects) {
            if (rule.rewriting() == Rewriting.NONE) {
                return new Judgement.Refuses(rule.name() + " is unknown to " + target.version());
            }
            rewrites = true;
        }
        int at = firstOption(command);
        int[] dropFrom = null;
        int[] dropTo = null;
        int drops = 0;
        while (rule.form() != Rule.Form.PLAIN && at < command.length) {
            int index = option(command[at]);
            if (index < 0) {
                if (rule.form() == Rule.Form.HEAD || endsAtFields(command[at])) {
                    break;
                }
                return stray(command[at]);
            }
            int end = at + 1 + argumentsOf(options[index], command, at);
            if (end > command.length || end <= at) {
                return stray(command[at]);
            }
            if (!known[index]) {
                switch (options[index].missing()) {
                    case REFUSED -> {
                        return new Judgement.Refuses(
                                rule.name() + " with " + options[index].name() + " is unknown to " + target.version());
                    }
                    case CARRIED -> rewrites = true;
                    case DROPPED -> {
                        if (dropFrom == null || dropTo == null) {
                            dropFrom = new int[DROPS_MAX];
                            dropTo = new int[DROPS_MAX];
                        }
                        if (drops == DROPS_MAX) {
                            return stray(command[at]);
                        }
                        dropFrom[drops] = at;
                        dropTo[drops++] = end;
                    }
                }
            }
            at = end;
        }
        Judgement.@Nullable Drops dropped = dropFrom == null || dropTo == null
                ? null
                : new Judgement.Drops(java.util.Arrays.copyOf(dropFrom, drops), java.util.Arrays.copyOf(dropTo, drops));
        if (rewrites) {
            return dropped == null ? REWRITES : new Judgement.Rewrites(dropped);
        }
        return effects ? PASSES : checkedByLength(command, dropped);
    }

    private Judgement checkedByLength(byte[][] command, Judgement.@Nullable Drops dropped) {
        int words = command.length;
        if (dropped != null) {
            for (int i = 0; i < dropped.from().length; i++) {
                words -= dropped.to()[i] - dropped.from()[i];
            }
        }
        if (shape != null && !shape.accepts(words)) {
            if (rule.rewriting() == Rewriting.POP_COUNT) {
                return REWRITES;
            }
            return new Judgement.Refuses(rule.name() + " of " + words + " words is unknown to " + target.version());
        }
        return dropped == null ? PASSES : dropped;
    }

    private Judgement stray(byte[] word) {
        return new Judgement.Strays(rule.name() + " with " + Words.text(word)
                + " is not known to this version of Switchback, so it is not passed to " + target.version());
    }

    private int firstOption(byte[][] command) {
        if (rule.form() != Rule.Form.COUNTED) {
            return rule.first();
        }
        long items = rule.first() < command.length ? Words.number(command[rule.first()]) : -1;
        long first = rule.first() + 1 + items * rule.width();
        // A count that cannot be: every word of the rest is stray.
        return items < 0 || first > command.length ? rule.first() : (int) first;
    }

    private boolean endsAtFields(byte[] word) {
        return rule.form() == Rule.Form.FIELDS && Words.is(word, "FIELDS");
    }

    private int option(byte[] word) {
        for (int i = 0; i < options.length; i++) {
            if (Words.is(word, options[i].name())) {
                return i;
            }
        }
        return -1;
    }

    private int argumentsOf(Option option, byte[][] command, int at) {
        byte[] next = at + 1 < command.length ? command[at + 1] : new byte[0];
        return switch (option.arguments()) {
            case Option.TRIM -> next.length == 1 && (next[0] == '=' || next[0] == '~') ? 2 : 1;
            case Option.ONE_PER_KEY -> (int) Math.max(0, Words.number(command[rule.first()]));
            case Option.COORDINATES -> {
                long points = Words.number(next);
                yield points < 0 || points > command.length ? command.length : 1 + 2 * (int) points;
            }
            case Option.AGGREGATION ->
                Words.is(next, "SUM") || Words.is(next, "MIN") || Words.is(next, "MAX") ? 1 : command.length;
            default -> option.arguments();
        };
    }
}
