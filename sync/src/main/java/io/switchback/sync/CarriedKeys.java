package io.switchback.sync;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.fleet.ReservedKeys;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * Which keys are carried from an old fleet to a new one and back, and by which names the new one has them. Immutable, for any thread.
 *
 * <p>Patterns are of the old fleet's names, also on the way back: a key of the new fleet is carried where its old name is. Reserved keys never are, and nothing is carried to such a name.
 *
 * <p>Invariant: no two keys that are carried have one name at the new fleet, so that each name there has one old name at most, and the way back is the way there turned round. {@link #conflicts} is why:
 * of two keys with one new name
 *
 * <ul>
 *   <li>both would be renamed by the same prefix, and then be the same key; or by two, of which one new prefix would begin with the other, which is refused;
 *   <li>or one would be renamed and the other not, which then begins with a new prefix. That is refused unless no key that is carried and not renamed can begin so.
 * </ul>
 */
public final class CarriedKeys {
    /** Of each kind, patterns and renames: each key that is written is held against all of them. */
    public static final int PATTERNS_MAX = 100;

    /** All, by their own names. */
    public static final CarriedKeys ALL = new CarriedKeys(List.of(), List.of(), Set.of(), List.of());

    private final List<String> onlyText;
    private final List<String> exceptText;
    private final Set<Integer> databases;
    private final List<Rename> renameText;
    private final List<KeyPattern> only;
    private final List<KeyPattern> except;
    private final List<Prefixes> renames;

    /** What begins with {@code from} at the old fleet begins with {@code to} at the new one. */
    public record Rename(String from, String to) {}

    @SuppressWarnings("ArrayRecordComponent") // never compared
    private record Prefixes(byte[] from, byte[] to) {
        static Prefixes of(Rename rename) {
            return new Prefixes(rename.from().getBytes(UTF_8), rename.to().getBytes(UTF_8));
        }
    }

    /**
     * @param only one of these a key must match; none for every key
     * @param except none of these
     * @param databases those that are carried; none for all
     * @param renames without {@link #conflicts}
     */
    public CarriedKeys(List<String> only, List<String> except, Set<Integer> databases, List<Rename> renames) {
        Map<Rename, String> conflicts = conflicts(only, except, renames);
        if (!conflicts.isEmpty()) {
            throw new IllegalArgumentException("keys would meet: " + conflicts);
        }
        this.onlyText = List.copyOf(only);
        this.exceptText = List.copyOf(except);
        this.databases = Set.copyOf(databases);
        this.renameText = List.copyOf(renames);
        this.only = patterns(only);
        this.except = patterns(except);
        this.renames = renames.stream().map(Prefixes::of).toList();
    }

    private static List<KeyPattern> patterns(List<String> texts) {
        return texts.stream().map(KeyPattern::new).toList();
    }

    // ------------------------------------------------------------------------------------------------- what is refused

    /** Why renames cannot be kept apart, or not be taken back, by the rename that is at fault; empty where all can. */
    public static Map<Rename, String> conflicts(List<String> only, List<String> except, List<Rename> renames) {
        Map<Rename, String> conflicts = new LinkedHashMap<>();
        for (int i = 0; i < renames.size(); i++) {
            Rename one = renames.get(i);
            List<Rename> before = renames.subList(0, i);
            reserved(one)
                    .or(() -> before.stream()
                            .flatMap(other -> together(one, other).stream())
                            .findFirst())
                    .or(() -> meeting(one, patterns(only), patterns(except), renames))
                    .ifPresent(why -> conflicts.put(one, why));
        }
        return conflicts;
    }

    private static Optional<String> reserved(Rename one) {
        return one.from().startsWith(ReservedKeys.PREFIX) || one.to().startsWith(ReservedKeys.PREFIX)
                ? Optional.of(
                        "keys that begin with " + ReservedKeys.PREFIX + " are Switchback's own, and are not carried")
                : Optional.empty();
    }

    private static Optional<String> together(Rename one, Rename other) {
        if (one.from().startsWith(other.from()) || other.from().startsWith(one.from())) {
            return Optional.of(
                    "keys that begin with \"" + longer(one.from(), other.from()) + "\" would be renamed twice, by \""
                            + other.from() + "\" too; name prefixes of which none begins with another");
        }
        if (one.to().startsWith(other.to()) || other.to().startsWith(one.to())) {
            return Optional.of(
                    "\"" + one.from() + "\" and \"" + other.from() + "\" would both become keys that begin with \""
                            + longer(one.to(), other.to())
                            + "\", and two keys could get one name; name new prefixes of which none begins with another");
        }
        return Optional.empty();
    }

    private static String longer(String one, String other) {
        return one.length() >= other.length() ? one : other;
    }

    /** Whether a key that is carried and not renamed could begin with the new prefix. */
    private static Optional<String> meeting(
            Rename one, List<KeyPattern> only, List<KeyPattern> except, List<Rename> renames) {
        byte[] to = one.to().getBytes(UTF_8);
        boolean renamedThemselves = renames.stream().anyMatch(other -> one.to().startsWith(other.from()));
        boolean excepted =
                except.stream().anyMatch(pattern -> pattern.isEveryNameSoBegun() && begins(to, pattern.beginning()));
        boolean notMeant = !only.isEmpty() && only.stream().noneMatch(pattern -> mayMeet(pattern, to, except, renames));
        return renamedThemselves || excepted || notMeant
                ? Optional.empty()
                : Optional.of("a key that begins with \"" + one.to()
                        + "\" already could meet one that is renamed; leave such keys out by except: [\"" + one.to()
                        + "*\"], or name by only what else is carried");
    }

    private static boolean mayMeet(KeyPattern pattern, byte[] to, List<KeyPattern> except, List<Rename> renames) {
        byte[] beginning = pattern.beginning();
        if (renames.stream().anyMatch(other -> begins(beginning, other.from().getBytes(UTF_8)))) {
            return false; // all that it matches is renamed
        }
        if (pattern.isOneName()) {
            return begins(beginning, to) && except.stream().noneMatch(one -> one.matches(beginning));
        }
        return begins(beginning, to) || begins(to, beginning);
    }

    private static boolean begins(byte[] name, byte[] prefix) {
        return name.length >= prefix.length && Arrays.equals(name, 0, prefix.length, prefix, 0, prefix.length);
    }

    // ---------------------------------------------------------------------------------------------------- what is said

    /** Whether all keys are carried by their own names. */
    public boolean isAll() {
        return onlyText.isEmpty() && exceptText.isEmpty() && databases.isEmpty() && renameText.isEmpty();
    }

    /** Whether keys have other names at the new fleet. */
    public boolean renames() {
        return !renameText.isEmpty();
    }

    /** Whether keys of that database may be carried. */
    public boolean hasDatabase(int database) {
        return databases.isEmpty() || databases.contains(database);
    }

    /** Those that are named, from the first to the last; none where all are carried. */
    public List<Integer> databases() {
        return List.copyOf(new TreeSet<>(databases));
    }

    private boolean matches(byte[] oldName) {
        return !ReservedKeys.isReserved(oldName)
                && (only.isEmpty() || only.stream().anyMatch(pattern -> pattern.matches(oldName)))
                && (except.isEmpty() || except.stream().noneMatch(pattern -> pattern.matches(oldName)));
    }

    private byte @Nullable [] newName(int database, byte[] oldName) {
        if (!hasDatabase(database) || !matches(oldName)) {
            return null;
        }
        byte[] name = renamed(oldName);
        return ReservedKeys.isReserved(name) ? null : name;
    }

    private byte[] renamed(byte[] oldName) {
        for (Prefixes one : renames) {
            if (begins(oldName, one.from())) {
                return replaced(oldName, one.from(), one.to());
            }
        }
        return oldName;
    }

    private byte @Nullable [] oldName(int database, byte[] newName) {
        byte[] name = newName;
        for (Prefixes one : renames) {
            if (begins(newName, one.to())) {
                name = replaced(newName, one.to(), one.from());
                break;
            }
        }
        byte[] again = newName(database, name);
        return again != null && Arrays.equals(again, newName) ? name : null;
    }

    private static byte[] replaced(byte[] name, byte[] prefix, byte[] by) {
        byte[] replaced = Arrays.copyOf(by, by.length + name.length - prefix.length);
        System.arraycopy(name, prefix.length, replaced, by.length, name.length - prefix.length);
        return replaced;
    }

    // ------------------------------------------------------------------------------------------------------- both ways

    /** From the old fleet to the new one. */
    public Way there() {
        return new Way(this, false);
    }

    /** From the new fleet to the old one. */
    public Way back() {
        return new Way(this, true);
    }

    /** The keys as a link sees them that leads one of the two ways. */
    public record Way(CarriedKeys keys, boolean isBack) {
        /** All keys by their own names, whatever the way. */
        public static final Way ALL = CarriedKeys.ALL.there();

        /** The name at the target of a key of the source; null where it is not carried. */
        public byte @Nullable [] target(int database, byte[] sourceName) {
            return isBack ? keys.oldName(database, sourceName) : keys.newName(database, sourceName);
        }

        /** The name at the source of a key of the target; null where it is the target's own. */
        public byte @Nullable [] source(int database, byte[] targetName) {
            return isBack ? keys.newName(database, targetName) : keys.oldName(database, targetName);
        }

        /** Whether a key of the source that has this name is carried in any database. */
        public boolean mayCarry(byte[] sourceName) {
            return keys.isAll() || target(keys.anyDatabase(), sourceName) != null;
        }
    }

    private int anyDatabase() {
        return databases.isEmpty() ? 0 : databases.iterator().next();
    }

    // -------------------------------------------------------------------------------------------------------- as a
    // value

    @Override
    public boolean equals(Object other) {
        return other instanceof CarriedKeys that
                && onlyText.equals(that.onlyText)
                && exceptText.equals(that.exceptText)
                && databases.equals(that.databases)
                && renameText.equals(that.renameText);
    }

    @Override
    public int hashCode() {
        return Arrays.asList(onlyText, exceptText, databases, renameText).hashCode();
    }

    /** As a release's file says it. */
    @Override
    public String toString() {
        return isAll()
                ? "all keys"
                : "keys"
                        + (onlyText.isEmpty() ? "" : " only " + onlyText)
                        + (exceptText.isEmpty() ? "" : " except " + exceptText)
                        + (databases.isEmpty() ? "" : " of databases " + databases())
                        + (renameText.isEmpty()
                                ? ""
                                : " renamed "
                                        + renameText.stream()
                                                .map(one -> "\"" + one.from() + "\" to \"" + one.to() + "\"")
                                                .toList());
    }
}
