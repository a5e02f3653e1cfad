package io.switchback.ledger;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The right to lead one release: one node has it at a time, for a term, until another takes it over. Any thread.
 *
 * <p>Whoever has it writes through {@link #ledger}, which adds to each transaction that the claim still stands. So a leader that was
 * stopped, cut off or merely slow, and was taken for dead, cannot write a word of the release any more, however late it wakes up. That it
 * cannot do anything at a server either is the matter of the term's number, which is the token that servers ask for.
 */
public final class Claim {
    private static final String FOLDER = "leaders/";

    private final String release;
    private final Holder holder;
    private final Operation standing;
    private final Ledger ledger;

    /**
     * Who leads.
     *
     * @param node the name of the node
     * @param incarnation of that node's process
     * @param term drawn for this claim alone, greater than that of every claim and switch before it
     */
    public record Holder(String node, String incarnation, long term) {}

    private Claim(String release, Holder holder, long version, Ledger ledger) {
        this.release = release;
        this.holder = holder;
        this.standing = new Operation.Expect(path(release), version);
        this.ledger = new ClaimedLedger(ledger);
    }

    /** Who leads a release, if anybody ever has. */
    public static Optional<Holder> holder(Ledger ledger, String release) {
        return ledger.read(path(release)).map(entry -> Json.read(entry, Claim::holder));
    }

    /**
     * Takes a release over from {@code former}; a claim for the first time where that is empty.
     *
     * @return empty where somebody else has been faster, or {@code former} leads no more
     */
    public static Optional<Claim> take(Ledger ledger, String release, Optional<Holder> former, Holder next) {
        Optional<Entry> entry = ledger.read(path(release));
        if (!entry.map(found -> Json.read(found, Claim::holder)).equals(former)) {
            return Optional.empty();
        }
        Taking taking = taking(ledger, release, entry, next);
        return ledger.transact(List.of(taking.operation())) instanceof Outcome.Conflict
                ? Optional.empty()
                : Optional.of(taking.claim());
    }

    /**
     * A claim that stands once a transaction of the caller's with {@code operation} in it has succeeded, so that what is claimed can begin
     * together with the claim.
     */
    public record Taking(Operation operation, Claim claim) {}

    /** Prepares to take a release from whoever leads it now, if anybody does. */
    public static Taking taking(Ledger ledger, String release, Holder next) {
        return taking(ledger, release, ledger.read(path(release)), next);
    }

    private static Taking taking(Ledger ledger, String release, Optional<Entry> entry, Holder next) {
        byte[] value = Json.bytes(Json.object()
                .put("node", next.node())
                .put("incarnation", next.incarnation())
                .put("term", next.term()));
        Operation operation = entry.isPresent()
                ? new Operation.Replace(path(release), value, entry.get().version())
                : new Operation.Create(path(release), value);
        return new Taking(
                operation, new Claim(release, next, entry.map(Entry::version).orElse(-1L) + 1, ledger));
    }

    public Holder holder() {
        return holder;
    }

    /** The ledger, for as long as this claim stands; then every transaction is refused with SUPERSEDED. */
    public Ledger ledger() {
        return ledger;
    }

    /**
     * Asks whether it still stands.
     *
     * @throws LedgerException SUPERSEDED where it does not
     */
    public void demandStanding() {
        ledger.transact(List.of());
    }

    private static Holder holder(JsonNode json) {
        return new Holder(Json.text(json, "node"), Json.text(json, "incarnation"), Json.integer(json, "term"));
    }

    private static String path(String release) {
        return FOLDER + release;
    }

    private final class ClaimedLedger implements Ledger {
        private final Ledger plain;

        ClaimedLedger(Ledger plain) {
            this.plain = plain;
        }

        @Override
        public Outcome transact(List<Operation> operations) {
            List<Operation> claimed = new ArrayList<>(operations.size() + 1);
            claimed.add(standing);
            claimed.addAll(operations);
            Outcome outcome = plain.transact(claimed);
            if (outcome instanceof Outcome.Conflict(Operation failed, String _) && failed.equals(standing)) {
                throw new LedgerException(
                        LedgerException.Code.SUPERSEDED,
                        "Release " + release + " is led by "
                                + Claim.holder(plain, release).map(Holder::node).orElse("nobody")
                                + " now, and by " + holder.node() + " no more. Nothing was changed.");
            }
            return outcome;
        }

        @Override
        public Optional<Entry> read(String path) {
            return plain.read(path);
        }

        @Override
        public List<Entry> list(String prefix) {
            return plain.list(prefix);
        }

        @Override
        public void catchUp() {
            plain.catchUp();
        }

        @Override
        public Watch watch(String path, Runnable changed) {
            return plain.watch(path, changed);
        }

        @Override
        public Lease announce(String name, byte[] value) {
            return plain.announce(name, value);
        }

        @Override
        public Map<String, byte[]> announced() {
            return plain.announced();
        }

        @Override
        public String id() {
            return plain.id();
        }

        /** The plain ledger is somebody else's to close. */
        @Override
        public void close() {}
    }
}
