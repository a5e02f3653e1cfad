package io.switchback.release;

import io.switchback.ledger.Decision;
import io.switchback.ledger.Decisions;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.LedgerException;
import io.switchback.ledger.Members;
import io.switchback.ledger.Operation;
import io.switchback.ledger.Route;
import io.switchback.ledger.Routes;
import io.switchback.ledger.Verdict;
import io.switchback.release.ReleaseState.Side;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** The decision register as switches use it: COMMIT changes the routes in the same transaction, ABORT changes nothing. Any thread. */
final class SwitchRegister {
    private final Ledger ledger;
    private final Decisions decisions;

    SwitchRegister(Ledger ledger) {
        this.ledger = ledger;
        this.decisions = new Decisions(ledger);
    }

    /**
     * What a commit rests on: whoever has it can record COMMIT.
     *
     * @param participants who has voted
     * @param membership the version of the membership under which they were asked; a node that has joined since makes it another
     */
    record Evidence(List<String> participants, long membership, List<CacheEvidence> caches) {
        /** What was found of one cache. */
        CacheEvidence of(String cache) {
            return caches.stream()
                    .filter(one -> one.cache().equals(cache))
                    .findFirst()
                    .orElseThrow(() -> new IllegalStateException("the evidence says nothing of cache " + cache));
        }
    }

    /**
     * What the fence found.
     *
     * @param fleet where the route leads after the commit
     * @param epoch of that route
     * @param bases where the links from that fleet to the one that was left begin; empty where the switch accepted a loss and
     *     no link can begin
     */
    record CacheEvidence(String cache, Side to, String fleet, long epoch, List<SourceBase> bases) {}

    Optional<Decision> read(String id) {
        return decisions.read(id);
    }

    /** Looks at the routes that a commit will replace, before anybody waits for it. */
    List<Routes.Found> lookAhead(List<String> caches) {
        Routes routes = new Routes(ledger);
        return caches.stream().map(routes::find).toList();
    }

    /**
     * Records COMMIT and the routes, unless something is recorded or the membership or a route has changed; then ABORT.
     *
     * @return what is recorded
     */
    Decision commit(String id, String why, Evidence evidence) {
        Optional<Decision> recorded = read(id);
        if (recorded.isPresent()) {
            // By another party; its routes stand already, so there is nothing to replace them by.
            return recorded.get();
        }
        return commit(
                id,
                why,
                evidence,
                lookAhead(evidence.caches().stream().map(CacheEvidence::cache).toList()));
    }

    /** As {@link #commit(String, String, Evidence)}, in one request, with what {@link #lookAhead} has found. */
    Decision commit(String id, String why, Evidence evidence, List<Routes.Found> found) {
        List<Operation> together = new ArrayList<>();
        together.add(Members.expected(evidence.membership()));
        try {
            for (Routes.Found route : found) {
                CacheEvidence cache = evidence.of(route.cache());
                together.addAll(route.next(new Route(cache.fleet(), cache.epoch())));
            }
            return decisions.decide(id, Verdict.COMMIT, why, ReleaseStore.bytes(evidence), together);
        } catch (LedgerException e) {
            if (e.code() != LedgerException.Code.CONFLICT) {
                throw e;
            }
            ledger.catchUp();
            return abort(
                    id, "a node has joined, left or been started again, or a route has changed: " + e.getMessage());
        }
    }

    /** Records ABORT, unless something is recorded; returns what is. */
    Decision abort(String id, String why) {
        return decisions.decide(
                id, Verdict.ABORT, why, ReleaseStore.bytes(new Evidence(List.of(), -1, List.of())), List.of());
    }

    /** What a recorded COMMIT rests on. */
    static Evidence evidence(Decision decision) {
        return ReleaseStore.value(decision.evidenceJson(), Evidence.class);
    }
}
