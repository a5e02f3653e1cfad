package io.switchback.ledger;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;

/**
 * The decision register: for each switch one decision, written once. Whoever writes first has decided; everybody else reads
 * what that was. Nothing here replaces or deletes a decision. Any thread.
 */
public final class Decisions {
    private static final String FOLDER = "decisions/";

    private final Ledger ledger;

    public Decisions(Ledger ledger) {
        this.ledger = ledger;
    }

    /** What was decided, if anything was. */
    public Optional<Decision> read(String switchId) {
        return ledger.read(FOLDER + switchId).map(entry -> Json.read(entry, json -> decision(switchId, json)));
    }

    /**
     * Decides, unless it is decided: creates the decision if there is none, in one transaction with {@code together}.
     *
     * @param evidenceJson a JSON value
     * @param together what must hold or change with the decision, and only with it: the next route, the membership
     * @return what is recorded: this decision, or the earlier one, with which {@code together} has not taken effect now
     * @throws LedgerException CONFLICT if nothing is decided and {@code together} found something else than it needs: nothing is decided
     *     then either. BROKEN, UNREACHABLE: it may be decided so or not at all; read, once the ledger is open or
     *     answers again
     */
    public Decision decide(
            String switchId, Verdict verdict, String reason, byte[] evidenceJson, List<Operation> together) {
        if (together.stream().anyMatch(operation -> operation.path().startsWith(FOLDER))) {
            throw new IllegalArgumentException("a decision is written by this method alone");
        }
        JsonNode evidence = Json.parse(evidenceJson);
        List<Operation> operations = new ArrayList<>();
        operations.add(new Operation.Create(
                FOLDER + switchId,
                Json.bytes(Json.object()
                        .put("verdict", verdict.name())
                        .put("reason", reason)
                        .set("evidence", evidence))));
        operations.addAll(together);
        return switch (ledger.transact(operations)) {
            case Outcome.Done() -> new Decision(switchId, verdict, reason, Json.bytes(evidence));
            case Outcome.Conflict(Operation _, String why) ->
                read(switchId)
                        .orElseThrow(
                                () -> new LedgerException(
                                        LedgerException.Code.CONFLICT,
                                        "The switch " + switchId + " could not be decided (" + verdict + "): " + why
                                                + ". Nothing was changed; somebody else has changed what the decision rests on."));
        };
    }

    private static Decision decision(String switchId, JsonNode json) {
        return new Decision(
                switchId,
                Verdict.valueOf(Json.text(json, "verdict")),
                Json.text(json, "reason"),
                Json.bytes(Objects.requireNonNull(json.get("evidence"), "the evidence is missing")));
    }
}
