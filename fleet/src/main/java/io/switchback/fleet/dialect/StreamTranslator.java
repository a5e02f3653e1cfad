package io.switchback.fleet.dialect;

import io.switchback.fleet.ServerVersion;
import io.switchback.fleet.ServerVersion.Product;
import io.switchback.fleet.dialect.Rule.Carrier;
import io.switchback.fleet.dialect.TargetRule.Judgement;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Puts a source's replication stream into words that the target knows, command by command. Immutable, for any thread.
 *
 * <p>Invariants: the same command gives the same number of bytes, always, so that a link that starts again finds its place;
 * and nothing passes that is not in the one table of rules and known to the target, because a follower swallows errors in
 * silence.
 *
 * <p>Relative times (sources below 7.0) are made absolute: they count from when the source ran the command, which the caller
 * says.
 */
public final class StreamTranslator {
    private static final int ABSOLUTE_TIMES_SINCE = 7;

    private final Dialect target;
    private final TargetRules rules;
    private final Rewriter rewriter;
    private final boolean untouched;

    private StreamTranslator(Dialect source, Dialect target) {
        this.target = target;
        this.rules = TargetRules.between(source, target);
        this.rewriter = new Rewriter(target);
        this.untouched = isSuperset(source, target, rules);
    }

    public static StreamTranslator between(Dialect source, Dialect target) {
        return new StreamTranslator(source, target);
    }

    /** Whether every command is {@link Translation.Unchanged}, so that bytes may pass without being framed. */
    public boolean passesUntouched() {
        return untouched;
    }

    /**
     * What goes to the target in place of {@code command}.
     *
     * @param insideTransaction whether it stands between MULTI and EXEC
     * @param ranAtMs when the source ran it, in milliseconds since 1970; asked for where it has a relative time
     */
    public Translation translate(byte[][] command, boolean insideTransaction, LongSupplier ranAtMs) {
        if (untouched) {
            return Translation.Unchanged.INSTANCE;
        }
        @Nullable TargetRule rule = rules.find(command);
        if (rule == null) {
            return new Translation.Impossible(name(command)
                    + " is not known to this version of Switchback, so it is not" + " passed to " + target.version());
        }
        @Nullable String outOfRange = Databases.outOfRange(command, target);
        if (outOfRange != null) {
            return new Translation.Impossible(outOfRange);
        }
        return switch (rule.rule().carrier()) {
            case CONTROL -> Translation.Unchanged.INSTANCE;
            case EFFECTS ->
                new Translation.Impossible(
                        rule.rule().name() + " came down the stream itself, not its effects; a source of"
                                + " 6.0 needs lua-replicate-commands yes");
            case ITSELF -> translate(rule, command, insideTransaction, ranAtMs);
        };
    }

    private Translation translate(TargetRule rule, byte[][] command, boolean insideTransaction, LongSupplier ranAtMs) {
        return switch (rule.judge(command)) {
            case Judgement.Passes() -> Translation.Unchanged.INSTANCE;
            case Judgement.Drops drops -> new Translation.Rewritten(List.<byte[][]>of(without(command, drops)));
            case Judgement.Refuses(String why) -> new Translation.Impossible(why);
            case Judgement.Strays(String why) -> new Translation.Impossible(why);
            case Judgement.Rewrites(Judgement.@Nullable Drops drops) -> {
                byte[][] rest = drops == null ? command : without(command, drops);
                Translation translation = rewriter.rewrite(rule.rule().rewriting(), rest, insideTransaction, ranAtMs);
                yield drops != null && translation instanceof Translation.Unchanged
                        ? new Translation.Rewritten(List.<byte[][]>of(rest))
                        : translation;
            }
        };
    }

    private static byte[][] without(byte[][] command, Judgement.Drops drops) {
        List<byte[]> words = new ArrayList<>(command.length);
        int drop = 0;
        for (int i = 0; i < command.length; i++) {
            if (drop < drops.from().length && i == drops.from()[drop]) {
                i = drops.to()[drop++] - 1;
            } else {
                words.add(command[i]);
            }
        }
        return words.toArray(byte[][]::new);
    }

    private static String name(byte[][] command) {
        return command.length == 0 ? "an empty command" : Words.text(command[0]);
    }

    private static boolean isSuperset(Dialect source, Dialect target, TargetRules rules) {
        ServerVersion from = source.version();
        ServerVersion to = target.version();
        boolean sameLine = from.product() == to.product() && to.isAtLeast(from.major(), from.minor());
        boolean acrossTheFork =
                from.product() == Product.REDIS && to.product() == Product.VALKEY && !from.isAtLeast(7, 3);
        if (!from.isAtLeast(ABSOLUTE_TIMES_SINCE, 0)
                || !(sameLine || acrossTheFork)
                || source.databases() > target.databases()) {
            return false;
        }
        // A command may have been renamed or taken away on the target.
        for (TargetRule rule : rules.all()) {
            if (rule.rule().carrier() != Carrier.EFFECTS
                    && !rule.present()
                    && source.commands()
                            .shape(rule.rule().name().split(" ", 2)[0])
                            .isPresent()
                    && rule.rule().since().knows(from)) {
                return false;
            }
        }
        return true;
    }
}
