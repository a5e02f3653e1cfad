package io.switchback.ledger;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.Function;

/**
 * The nodes that are registered: every one that may hold connections of clients, whether it can be heard or not. A node
 * registers before it serves and leaves after it has stopped serving; one that dies stays registered until it is back or a person
 * removes it. Any thread.
 *
 * <p>All of them are one entry, whose version is the version of the membership: a decision that expects it is not taken if a node
 * has joined, left or been started again meanwhile.
 */
public final class Members {
    /** Each lost attempt means that somebody else's change has succeeded. */
    private static final int ATTEMPTS_MAX = 10_000;

    private static final String PATH = "members";

    private final Ledger ledger;

    public Members(Ledger ledger) {
        this.ledger = ledger;
    }

    /**
     * The membership at one instant.
     *
     * @param version of the entry that holds it; -1 before the first member
     */
    public record Roster(List<Member> members, long version) {
        public Roster {
            members = List.copyOf(members);
        }

        /** The member of that name. */
        public Optional<Member> member(String node) {
            return members.stream().filter(one -> one.node().equals(node)).findFirst();
        }
    }

    /** What to put into a transaction that rests on the membership of that version. */
    public static Operation expected(long version) {
        return version < 0 ? new Operation.ExpectAbsent(PATH) : new Operation.Expect(PATH, version);
    }

    /** The membership as the ledger has it. */
    public Roster roster() {
        return roster(ledger.read(PATH));
    }

    /** Registers a node, in place of an earlier one of its name. */
    public Roster join(Member member) {
        return change(members -> Optional.of(with(members, member)));
    }

    private static List<Member> with(List<Member> members, Member member) {
        List<Member> more = without(members, member.node());
        more.add(member);
        more.sort(Comparator.comparing(Member::node));
        return more;
    }

    /**
     * A node that nobody may have heard of for a while is there again. The version moves, although the same is registered as before: what was
     * prepared without it can then not be decided any more. Where another process has its name by now, nothing changes.
     */
    public Roster returned(Member member) {
        return change(members -> members.stream().anyMatch(one -> one.isAnotherProcessOf(member))
                ? Optional.empty()
                : Optional.of(with(members, member)));
    }

    /** A node has stopped serving, or a person says so. One of the same name that was started since stays. */
    public Roster leave(Member member) {
        return change(
                members -> members.contains(member) ? Optional.of(without(members, member.node())) : Optional.empty());
    }

    /** {@code changing} says what the members shall be, or empty where nothing is to be changed. */
    private Roster change(Function<List<Member>, Optional<List<Member>>> changing) {
        for (int attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
            Optional<Entry> before = ledger.read(PATH);
            Roster known = roster(before);
            Optional<List<Member>> after = changing.apply(known.members());
            if (after.isEmpty()) {
                return known;
            }
            byte[] value = Json.bytes(json(after.get()));
            Operation operation = before.isPresent()
                    ? new Operation.Replace(PATH, value, before.get().version())
                    : new Operation.Create(PATH, value);
            if (ledger.transact(List.of(operation)) instanceof Outcome.Done) {
                return roster();
            }
            ledger.catchUp();
        }
        throw new LedgerException(
                LedgerException.Code.CONFLICT,
                "The membership could not be changed in " + ATTEMPTS_MAX + " attempts: others change it without end");
    }

    private static List<Member> without(List<Member> members, String node) {
        return new ArrayList<>(
                members.stream().filter(one -> !one.node().equals(node)).toList());
    }

    private static Roster roster(Optional<Entry> entry) {
        return entry.map(found -> new Roster(Json.read(found, Members::members), found.version()))
                .orElseGet(() -> new Roster(List.of(), -1));
    }

    private static List<Member> members(JsonNode json) {
        List<Member> members = new ArrayList<>();
        for (JsonNode one : json) {
            List<String> caches = new ArrayList<>();
            one.path("caches").forEach(cache -> caches.add(cache.asText()));
            Map<String, String> announced = new HashMap<>();
            one.path("announced")
                    .properties()
                    .forEach(of -> announced.put(of.getKey(), of.getValue().asText()));
            members.add(new Member(
                    Json.text(one, "node"),
                    Json.text(one, "incarnation"),
                    Json.text(one, "address"),
                    caches,
                    announced,
                    one.path("holdsWithoutLedger").asBoolean(false)));
        }
        return members;
    }

    private static JsonNode json(List<Member> members) {
        ArrayNode all = Json.object().putArray("members");
        for (Member member : members) {
            ObjectNode one = all.addObject();
            one.put("node", member.node())
                    .put("incarnation", member.incarnation())
                    .put("address", member.address())
                    .put("holdsWithoutLedger", member.holdsWithoutLedger());
            ArrayNode caches = one.putArray("caches");
            member.caches().forEach(caches::add);
            if (!member.announced().isEmpty()) {
                ObjectNode announced = one.putObject("announced");
                new TreeMap<>(member.announced()).forEach(announced::put);
            }
        }
        return all;
    }
}
