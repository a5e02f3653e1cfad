package io.switchback.fleet.dialect;

import io.switchback.fleet.dialect.Rule.Carrier;
import io.switchback.fleet.dialect.TargetRule.Judgement;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * Says of a client's command on the fleet in use whether its effect can be carried to the older fleet, while a way back is
 * open. Immutable, for any thread; asked for every command of the data plane, it allocates nothing for common ones.
 *
 * <p>It decides by the same table as {@link StreamTranslator}. Reads are always allowed. So is what comes down the stream as
 * plain older commands (GETEX, LMPOP, SPOP, ...). Scripts and functions are allowed, because their effects are only known in
 * the stream, where each is checked.
 */
public final class WayBackGuard {
    private final Dialect inUse;
    private final Dialect old;
    private final TargetRules rules;
    private final Rewriter rewriter;
    private final boolean refusesNothing;
    private final boolean covered;

    /** The writes of the fleet in use, by its own word: those that the table does not have are refused. */
    private final NameIndex<CommandShape> writes = new NameIndex<>();

    private WayBackGuard(Dialect inUse, Dialect old) {
        this.inUse = inUse;
        this.old = old;
        this.rules = TargetRules.between(inUse, old);
        this.rewriter = new Rewriter(old);
        this.covered = CommandRules.covers(inUse.version());
        this.refusesNothing = StreamTranslator.between(inUse, old).passesUntouched();
        for (String name : inUse.commands().names()) {
            CommandShape shape = inUse.commands().shape(name).orElseThrow();
            boolean isWrite =
                    shape.writes() || shape.subcommands().values().stream().anyMatch(CommandShape::writes);
            if (isWrite && name.length() <= Words.NAME_BYTES_MAX) {
                writes.put(name.toUpperCase(Locale.ROOT), shape);
            }
        }
    }

    /** The guard for a way back from {@code inUse} to {@code old}. */
    public static WayBackGuard between(Dialect inUse, Dialect old) {
        return new WayBackGuard(inUse, old);
    }

    /** Whether {@link #refusal} is null for every command, so that nobody needs to ask. */
    public boolean refusesNothing() {
        return refusesNothing;
    }

    /**
     * Null: allowed. Otherwise the text of an error (without the minus) that names the command or argument, the server that
     * does not know it, and what to do. {@code command}: the name and its arguments.
     */
    public @Nullable String refusal(byte[][] command) {
        if (refusesNothing || command.length == 0) {
            return null;
        }
        @Nullable TargetRule rule = rules.find(command);
        if (rule == null) {
            return isUnknownWrite(command)
                    ? text(Words.text(command[0]) + " is not known to this version of Switchback")
                    : null;
        }
        @Nullable String outOfRange = inUse.databases() > old.databases() ? Databases.outOfRange(command, old) : null;
        if (outOfRange != null) {
            return text(outOfRange);
        }
        return rule.canRefuse() || (!covered && rule.hasOptions()) ? refusal(rule, command) : null;
    }

    private @Nullable String refusal(TargetRule rule, byte[][] command) {
        return switch (rule.judge(command)) {
            case Judgement.Refuses(String why) -> text(why);
            case Judgement.Strays(String why) -> covered ? null : text(why);
            case Judgement.Rewrites rewrites
            when rule.canRefuse() && rule.rule().carrier() == Carrier.ITSELF ->
                rewriter.rewrite(rule.rule().rewriting(), command, false, () -> 0)
                                instanceof Translation.Impossible(String why)
                        ? text(why)
                        : null;
            default -> null;
        };
    }

    private String text(String why) {
        return "ERR switchback: refused while the way back to " + old.version() + " is open: " + why
                + "; finish the release to use it, or roll back";
    }

    private boolean isUnknownWrite(byte[][] command) {
        @Nullable CommandShape shape = writes.find(command[0]);
        if (shape == null || shape.subcommands().isEmpty()) {
            return shape != null;
        }
        CommandShape subcommand = command.length < 2
                ? null
                : shape.subcommands().get(Words.text(command[1]).toLowerCase(Locale.ROOT));
        return subcommand != null && subcommand.writes();
    }
}
