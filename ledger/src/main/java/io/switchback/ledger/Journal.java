package io.switchback.ledger;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * What happened to each release, in order. Entries lie at {@code journal/<release>/<number, 20 digits>}. Any thread.
 *
 * <p>A journal is bounded: from {@link #ENTRIES_MAX} entries on, each new one takes the place of the oldest after the first
 * {@link #ENTRIES_KEPT_FIRST}, so that how a release began and what it did lately can always be read, and appending never fails for
 * its length. The missing numbers show where something was dropped. What a release needs to go on must therefore not stand in its
 * journal alone. An entry that is too long is cut, and says so.
 */
public final class Journal {
    /** Of one release. */
    public static final int ENTRIES_MAX = 2_000;
    /** Of these, the first ones of a release, which stay. */
    public static final int ENTRIES_KEPT_FIRST = 100;
    /** Of a text of an entry. */
    public static final int TEXT_CHARACTERS_MAX = 1_000;
    /** Of an entry. */
    public static final int DETAILS_MAX = 20;

    private static final String FOLDER = "journal/";
    private static final String CUT = "… (cut)";
    /** Each lost attempt means that somebody else's append has succeeded. */
    private static final int APPEND_ATTEMPTS_MAX = 1_000;

    private final Ledger ledger;
    /** By release: the number of the last entry that is known, so that an append need not list the journal. May lag. */
    private final Map<String, Long> lastKnown = new ConcurrentHashMap<>();

    public Journal(Ledger ledger) {
        this.ledger = ledger;
    }

    /** Appends an entry, durably; its number is given here. */
    public void append(String release, JournalEntry entry) {
        Outcome outcome = append(release, entry, List.of());
        if (outcome instanceof Outcome.Conflict(Operation _, String why)) {
            throw new LedgerException(
                    LedgerException.Code.CONFLICT, "The journal of " + release + " could not be written: " + why);
        }
    }

    /** Appends an entry and makes other changes in one transaction; a conflict of theirs leaves the journal as it was. */
    public Outcome append(String release, JournalEntry entry, List<Operation> together) {
        byte[] value = Json.bytes(json(entry));
        Long known = lastKnown.get(release);
        long last = known == null ? last(release) : known;
        for (int attempt = 1; ; attempt++) {
            String path = path(release, last + 1);
            List<Operation> operations = new ArrayList<>();
            operations.add(new Operation.Create(path, value));
            operations.addAll(dropped(release, last + 1));
            operations.addAll(together);
            Outcome outcome = ledger.transact(operations);
            boolean taken = outcome instanceof Outcome.Conflict(Operation failed, String _)
                    && failed.path().startsWith(FOLDER + release + "/");
            if (!taken || attempt == APPEND_ATTEMPTS_MAX) {
                if (outcome instanceof Outcome.Done) {
                    lastKnown.merge(release, last + 1, Math::max);
                }
                return outcome;
            }
            last = Math.max(last + 1, last(release));
        }
    }

    /** The entries by number. */
    public List<JournalEntry> read(String release) {
        return ledger.list(FOLDER + release).stream()
                .map(entry -> entry(release, entry))
                .toList();
    }

    /** What makes room for the entry {@code number}: nothing, or the one that is the oldest after those that stay. */
    private List<Operation> dropped(String release, long number) {
        if (number <= ENTRIES_MAX) {
            return List.of();
        }
        String oldest = path(release, number - ENTRIES_MAX + ENTRIES_KEPT_FIRST);
        return ledger.read(oldest).isPresent() ? List.of(new Operation.Delete(oldest)) : List.of();
    }

    private long last(String release) {
        List<Entry> entries = ledger.list(FOLDER + release);
        return entries.isEmpty() ? 0 : number(release, entries.getLast());
    }

    private static String path(String release, long number) {
        return FOLDER + release + "/" + String.format(Locale.ROOT, "%020d", number);
    }

    private static long number(String release, Entry entry) {
        return Long.parseLong(entry.path().substring(FOLDER.length() + release.length() + 1));
    }

    private static ObjectNode json(JournalEntry entry) {
        ObjectNode json = Json.object()
                .put("at", entry.at().toString())
                .put("who", cut(entry.who()))
                .put("step", cut(entry.step()))
                .put("what", cut(entry.what()));
        ObjectNode details = json.putObject("details");
        entry.details().entrySet().stream()
                .limit(DETAILS_MAX)
                .forEach(detail -> details.put(cut(detail.getKey()), cut(detail.getValue())));
        if (entry.details().size() > DETAILS_MAX) {
            details.put(CUT, entry.details().size() - DETAILS_MAX + " more");
        }
        return json;
    }

    private static String cut(String text) {
        String kept = text.length() <= TEXT_CHARACTERS_MAX ? text : text.substring(0, TEXT_CHARACTERS_MAX) + CUT;
        // Through UTF-8 and back: half a surrogate pair, given or cut, is no text and would not become JSON.
        return new String(kept.getBytes(StandardCharsets.UTF_8), StandardCharsets.UTF_8);
    }

    private static JournalEntry entry(String release, Entry entry) {
        return Json.read(entry, json -> {
            Map<String, String> details = new LinkedHashMap<>();
            JsonNode given = json.path("details");
            given.fieldNames()
                    .forEachRemaining(name -> details.put(name, given.path(name).asText()));
            return new JournalEntry(
                    number(release, entry),
                    Instant.parse(Json.text(json, "at")),
                    Json.text(json, "who"),
                    Json.text(json, "step"),
                    Json.text(json, "what"),
                    details);
        });
    }
}
