package io.switchback.simulation;

import io.switchback.commit.SwitchId;
import io.switchback.ledger.Decision;
import io.switchback.ledger.Decisions;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.LedgerException;
import io.switchback.ledger.Members;
import io.switchback.ledger.Operation;
import io.switchback.ledger.Route;
import io.switchback.ledger.Routes;
import io.switchback.ledger.Verdict;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** The decision register as switches use it: COMMIT changes the route in the same transaction, ABORT changes nothing. */
final class SimRegister {
    private final World world;
    private final Ledger ledger;
    private final Decisions decisions;
    private final boolean claimed;

    SimRegister(World world, Ledger ledger, boolean claimed) {
        this.world = world;
        this.ledger = ledger;
        this.decisions = new Decisions(ledger);
        this.claimed = claimed;
    }

    Optional<Decision> read(SwitchId id) {
        return decisions.read(id.toString());
    }

    Decision commit(SwitchId id, String why, Records.Evidence evidence) {
        if (claimed) {
            // The route that a commit replaces has moved on where the commit is there already.
            ledger.catchUp();
            Optional<Decision> recorded = read(id);
            if (recorded.isPresent()) {
                return recorded.get();
            }
        }
        Routes routes = new Routes(ledger);
        List<Operation> together = new ArrayList<>();
        if (!world.has(PlantedBug.NO_MEMBERSHIP_CHECK)) {
            together.add(Members.expected(evidence.membership()));
        }
        Route next = new Route(world.fleet(evidence.toB()).name(), evidence.epoch());
        if (routes.current(Records.CACHE).orElseThrow().epoch() + 1 != next.epoch()) {
            return abort(id, "the route has moved on");
        }
        together.addAll(routes.next(Records.CACHE, next));
        try {
            return decisions.decide(
                    id.toString(), Verdict.COMMIT, why, world.ledger().keep(evidence), together);
        } catch (LedgerException e) {
            if (e.code() != LedgerException.Code.CONFLICT) {
                throw e;
            }
            return abort(id, "a node has joined, left or been started again, or the route has changed");
        }
    }

    Decision abort(SwitchId id, String why) {
        return decisions.decide(
                id.toString(), Verdict.ABORT, why, world.ledger().keep("nothing"), List.of());
    }
}
