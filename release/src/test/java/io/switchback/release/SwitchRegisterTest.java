package io.switchback.release;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Environment;
import io.switchback.ledger.Decision;
import io.switchback.ledger.EmbeddedLedger;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.Member;
import io.switchback.ledger.Members;
import io.switchback.ledger.Route;
import io.switchback.ledger.Routes;
import io.switchback.ledger.Verdict;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.SwitchRegister.CacheEvidence;
import io.switchback.release.SwitchRegister.Evidence;
import io.switchback.sync.LinkBase;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What was looked at before a hold may have changed by the time of the decision: then nothing is committed on it. */
class SwitchRegisterTest {
    private static final String CACHE = "sessions";
    private static final String ID = "r.1";
    private static final List<String> CACHES = List.of(CACHE);

    private Ledger ledger;
    private SwitchRegister register;

    @BeforeEach
    void open(@TempDir Path folder) throws IOException {
        ledger = EmbeddedLedger.open(folder, Environment.system());
        register = new SwitchRegister(ledger);
        moveTo("blue", 1);
    }

    @AfterEach
    void close() {
        ledger.close();
    }

    private void moveTo(String fleet, long epoch) {
        ledger.transact(new Routes(ledger).find(CACHE).next(new Route(fleet, epoch)));
    }

    private Evidence evidence(long membership) {
        return new Evidence(
                List.of("n1"),
                membership,
                List.of(new CacheEvidence(
                        CACHE, Side.NEW, "green", 2, List.of(SourceBase.whole(new LinkBase("0", 0, "0", 0))))));
    }

    private Route route() {
        return new Routes(ledger).current(CACHE).orElseThrow();
    }

    @Test
    void theRoutesChangeWithTheDecision() {
        Decision decision = register.commit(ID, "", evidence(-1), register.lookAhead(CACHES));
        assertThat(decision.verdict()).isEqualTo(Verdict.COMMIT);
        assertThat(register.read(ID).orElseThrow().verdict()).isEqualTo(Verdict.COMMIT);
        assertThat(route()).isEqualTo(new Route("green", 2));
    }

    @Test
    void aRouteThatHasChangedSinceIsNotReplaced() {
        List<Routes.Found> found = register.lookAhead(CACHES);
        moveTo("red", 2);
        assertThat(register.commit(ID, "", evidence(-1), found).verdict()).isEqualTo(Verdict.ABORT);
        assertThat(register.read(ID).orElseThrow().verdict()).isEqualTo(Verdict.ABORT);
        assertThat(route()).isEqualTo(new Route("red", 2));
    }

    @Test
    void aNodeThatHasJoinedSinceIsNotLeftOut() {
        List<Routes.Found> found = register.lookAhead(CACHES);
        new Members(ledger).join(new Member("n2", "first", "127.0.0.1:1", CACHES));
        assertThat(register.commit(ID, "", evidence(-1), found).verdict()).isEqualTo(Verdict.ABORT);
        assertThat(route()).isEqualTo(new Route("blue", 1));
    }

    @Test
    void whatIsRecordedStandsWhateverWasFound() {
        List<Routes.Found> found = register.lookAhead(CACHES);
        Decision first = register.abort(ID, "settled by a participant");
        Decision last = register.commit(ID, "", evidence(-1), found);
        assertThat(last.verdict()).isEqualTo(Verdict.ABORT);
        assertThat(last.reason()).isEqualTo(first.reason());
        assertThat(route()).isEqualTo(new Route("blue", 1));
    }
}
