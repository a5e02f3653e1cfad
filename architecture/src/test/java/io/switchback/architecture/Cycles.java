package io.switchback.architecture;

import com.tngtech.archunit.core.domain.JavaClasses;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/** Packages that know each other in a circle: the strongly connected ones, found by reachability (they are few). */
final class Cycles {
    private Cycles() {}

    static List<String> among(JavaClasses classes) {
        Map<String, Set<String>> uses = new TreeMap<>();
        classes.forEach(javaClass -> javaClass.getDirectDependenciesFromSelf().stream()
                .filter(dependency -> House.isOurs(dependency.getTargetClass()))
                .map(dependency -> dependency.getTargetClass().getPackageName())
                .filter(target -> !target.equals(javaClass.getPackageName()))
                .forEach(target -> uses.computeIfAbsent(javaClass.getPackageName(), key -> new TreeSet<>())
                        .add(target)));
        Set<Set<String>> circles = new HashSet<>();
        for (String start : uses.keySet()) {
            Set<String> circle = new TreeSet<>();
            for (String other : reachable(uses, start)) {
                if (reachable(uses, other).contains(start)) {
                    circle.add(other);
                }
            }
            if (!circle.isEmpty()) {
                circles.add(circle);
            }
        }
        List<String> texts = new ArrayList<>();
        circles.forEach(circle -> texts.add("packages that know each other in a circle: " + String.join(", ", circle)));
        return texts;
    }

    private static Set<String> reachable(Map<String, Set<String>> uses, String start) {
        Set<String> seen = new TreeSet<>();
        Deque<String> open = new ArrayDeque<>(uses.getOrDefault(start, Set.of()));
        while (!open.isEmpty()) {
            String next = open.removeFirst();
            if (seen.add(next)) {
                open.addAll(uses.getOrDefault(next, Set.of()));
            }
        }
        return seen;
    }
}
