package io.switchback.architecture;

import static io.switchback.architecture.House.DEMO_PACKAGE;
import static io.switchback.architecture.House.FLOORS;
import static io.switchback.architecture.House.TESTKIT;
import static io.switchback.architecture.House.isIn;
import static io.switchback.architecture.House.isOurs;
import static io.switchback.architecture.House.room;

import com.tngtech.archunit.core.domain.AccessTarget;
import com.tngtech.archunit.core.domain.Dependency;
import com.tngtech.archunit.core.domain.JavaAccess;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaMethod;
import com.tngtech.archunit.core.domain.JavaPackage;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Function;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.NullMarked;

/** What is forbidden in compiled code: each rule names what breaks it, or nothing. */
final class Rules {
    /** Methods that read a clock, wait, or draw a random number; "*" is every method and constructor. */
    private static final Map<String, Set<String>> SEAM = Map.ofEntries(
            Map.entry("java.lang.System", Set.of("nanoTime", "currentTimeMillis")),
            Map.entry("java.lang.Thread", Set.of("sleep")),
            Map.entry("java.lang.Math", Set.of("random")),
            Map.entry("java.util.concurrent.TimeUnit", Set.of("sleep")),
            Map.entry("java.time.Instant", Set.of("now")),
            Map.entry("java.time.LocalDate", Set.of("now")),
            Map.entry("java.time.LocalTime", Set.of("now")),
            Map.entry("java.time.LocalDateTime", Set.of("now")),
            Map.entry("java.time.OffsetDateTime", Set.of("now")),
            Map.entry("java.time.ZonedDateTime", Set.of("now")),
            Map.entry("java.time.Clock", Set.of("*")),
            Map.entry("java.util.Date", Set.of("<init>")),
            Map.entry("java.util.Random", Set.of("*")),
            Map.entry("java.util.SplittableRandom", Set.of("*")),
            Map.entry("java.util.concurrent.ThreadLocalRandom", Set.of("*")),
            Map.entry("java.security.SecureRandom", Set.of("*")),
            Map.entry("java.util.UUID", Set.of("randomUUID")));

    private static final Pattern VAGUE_NAME = Pattern.compile(".*(Manager|Helper|Utils?|Impl|Common)");
    private static final Pattern ACCESSOR_WITH_GET = Pattern.compile("get[A-Z].*");

    private Rules() {}

    /** Dependencies upwards, sideways, into the testkit, or of rooms that have no floor. */
    static List<String> floors(JavaClasses classes) {
        return dependencies(classes)
                .map(Rules::wrongFloor)
                .filter(text -> !text.isEmpty())
                .distinct()
                .sorted()
                .toList();
    }

    private static Stream<Dependency> dependencies(JavaClasses classes) {
        return classes.stream()
                .flatMap(javaClass -> javaClass.getDirectDependenciesFromSelf().stream())
                .filter(dependency -> isOurs(dependency.getTargetClass()));
    }

    private static String wrongFloor(Dependency dependency) {
        JavaClass from = dependency.getOriginClass();
        JavaClass to = dependency.getTargetClass();
        String fromRoom = room(from);
        String toRoom = room(to);
        if (fromRoom.equals(toRoom)) {
            return "";
        }
        String what = from.getName() + " uses " + to.getName() + ": ";
        if (toRoom.equals(TESTKIT)) {
            return isIn(from, DEMO_PACKAGE) ? "" : what + "only the demo may use the testkit";
        }
        if (fromRoom.equals(TESTKIT)) {
            return what + "the testkit knows no room";
        }
        Integer fromFloor = FLOORS.get(fromRoom);
        Integer toFloor = FLOORS.get(toRoom);
        if (fromFloor == null || toFloor == null) {
            return what + "the room " + (fromFloor == null ? fromRoom : toRoom) + " has no floor";
        }
        return toFloor < fromFloor ? "" : what + "floor " + fromFloor + " does not know floor " + toFloor;
    }

    /** Cycles between packages, as one list of packages each. */
    static List<String> cycles(JavaClasses classes) {
        return Cycles.among(classes);
    }

    /** Time, waiting and randomness other than through the environment. */
    static List<String> seam(JavaClasses classes) {
        return accesses(classes, JavaClass::getCodeUnitAccessesFromSelf)
                .filter(access -> !room(access.getOriginOwner()).equals("environment")
                        && !room(access.getOriginOwner()).equals(TESTKIT)
                        // Its randomness is the seed's, and its time is counted.
                        && !room(access.getOriginOwner()).equals("simulation")
                        && !isIn(access.getOriginOwner(), DEMO_PACKAGE))
                .filter(access -> {
                    AccessTarget target = access.getTarget();
                    Set<String> banned = SEAM.getOrDefault(target.getOwner().getName(), Set.of());
                    return banned.contains("*") || banned.contains(target.getName());
                })
                .map(JavaAccess::getDescription)
                .sorted()
                .toList();
    }

    /** Output other than through a logger, outside the command line. */
    static List<String> output(JavaClasses classes) {
        Stream<String> streams = accesses(classes, JavaClass::getFieldAccessesFromSelf)
                .filter(access -> access.getTarget().getOwner().getName().equals("java.lang.System")
                        && Set.of("out", "err").contains(access.getTarget().getName()))
                .filter(access -> !room(access.getOriginOwner()).equals("cli"))
                .map(JavaAccess::getDescription);
        Stream<String> traces = accesses(classes, JavaClass::getCodeUnitAccessesFromSelf)
                .filter(access -> access.getTarget().getName().equals("printStackTrace"))
                .filter(access -> !room(access.getOriginOwner()).equals("cli"))
                .map(JavaAccess::getDescription);
        return Stream.concat(streams, traces).sorted().toList();
    }

    /** java.util.logging used directly; the command line alone may set it up. */
    static List<String> logging(JavaClasses classes) {
        return classes.stream()
                .filter(javaClass -> !room(javaClass).equals("cli"))
                .flatMap(javaClass -> javaClass.getDirectDependenciesFromSelf().stream())
                .filter(dependency -> isIn(dependency.getTargetClass(), "java.util.logging"))
                .map(Dependency::getDescription)
                .sorted()
                .toList();
    }

    /** Names that say nothing, and accessors that begin with get. */
    static List<String> names(JavaClasses classes) {
        Stream<String> vague = classes.stream()
                .filter(javaClass ->
                        VAGUE_NAME.matcher(javaClass.getSimpleName()).matches())
                .map(javaClass -> javaClass.getName() + " has a name that says nothing");
        Stream<String> accessors = classes.stream()
                .flatMap(javaClass -> javaClass.getMethods().stream())
                .filter(method -> ACCESSOR_WITH_GET.matcher(method.getName()).matches())
                .filter(method -> method.getRawParameterTypes().isEmpty() && !isInherited(method))
                .map(method -> method.getFullName() + " is an accessor that begins with get");
        return Stream.concat(vague, accessors).sorted().toList();
    }

    private static boolean isInherited(JavaMethod method) {
        JavaClass owner = method.getOwner();
        return Stream.concat(owner.getAllRawSuperclasses().stream(), owner.getAllRawInterfaces().stream())
                .anyMatch(above -> above.tryGetMethod(method.getName()).isPresent());
    }

    /** Packages in which null may hide. */
    static List<String> nullness(JavaClasses classes) {
        return classes.stream()
                .map(JavaClass::getPackage)
                .distinct()
                .filter(javaPackage -> !isNullMarked(javaPackage))
                .map(javaPackage -> javaPackage.getName() + " has no package-info with @NullMarked")
                .sorted()
                .toList();
    }

    private static boolean isNullMarked(JavaPackage javaPackage) {
        return javaPackage.tryGetPackageInfo().stream().anyMatch(info -> info.isAnnotatedWith(NullMarked.class));
    }

    private static <A extends JavaAccess<?>> Stream<A> accesses(
            JavaClasses classes, Function<JavaClass, Set<A>> accesses) {
        return classes.stream().flatMap(javaClass -> Objects.requireNonNull(accesses.apply(javaClass)).stream());
    }
}
