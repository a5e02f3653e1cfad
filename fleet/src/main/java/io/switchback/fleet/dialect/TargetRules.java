package io.switchback.fleet.dialect;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** All rules between one source and one target, found by a command's name. Immutable, for any thread. */
final class TargetRules {

    /** The rule of a command, or those of its subcommands. */
    private record Entry(
            @Nullable TargetRule rule, @Nullable NameIndex<TargetRule> subcommands) {}

    private final NameIndex<Entry> entries = new NameIndex<>();
    private final List<TargetRule> all = new ArrayList<>();

    private TargetRules() {}

    static TargetRules between(Dialect source, Dialect target) {
        TargetRules rules = new TargetRules();
        Map<String, NameIndex<TargetRule>> containers = new HashMap<>();
        for (Rule rule : CommandRules.ALL) {
            TargetRule targetRule = new TargetRule(rule, source, target);
            rules.all.add(targetRule);
            String[] names = rule.name().split(" ", 2);
            if (names.length == 1) {
                rules.entries.put(names[0], new Entry(targetRule, null));
            } else {
                containers
                        .computeIfAbsent(names[0], name -> rules.container(name))
                        .put(names[1], targetRule);
            }
        }
        return rules;
    }

    private NameIndex<TargetRule> container(String name) {
        NameIndex<TargetRule> subcommands = new NameIndex<>();
        entries.put(name, new Entry(null, subcommands));
        return subcommands;
    }

    /** The rule for this command, or null where the table has none. */
    @Nullable
    TargetRule find(byte[][] command) {
        @Nullable Entry entry = command.length == 0 ? null : entries.find(command[0]);
        if (entry == null) {
            return null;
        }
        if (entry.subcommands() == null) {
            return entry.rule();
        }
        return command.length < 2 ? null : entry.subcommands().find(command[1]);
    }

    /** Every rule, in the table's order. */
    List<TargetRule> all() {
        return List.copyOf(all);
    }
}
