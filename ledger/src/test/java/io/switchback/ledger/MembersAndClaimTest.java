package io.switchback.ledger;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.environment.Environment;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Who is registered, and who leads: what decisions and leaders rest on. */
class MembersAndClaimTest {
    private static final Member FIRST = new Member("one", "a1", "10.0.0.1:7", List.of("sessions"));
    private static final Member AGAIN = new Member("one", "a2", "10.0.0.1:8", List.of("sessions"));
    private static final Member OTHER = new Member("two", "b1", "", List.of("sessions", "carts"));
    private static final Claim.Holder LEADER = new Claim.Holder("one", "a1", 1);
    private static final Claim.Holder SUCCESSOR = new Claim.Holder("two", "b1", 2);

    @TempDir
    private Path folder;

    private Ledger ledger;
    private Members members;

    @BeforeEach
    void open() {
        ledger = EmbeddedLedger.open(folder, Environment.system());
        members = new Members(ledger);
    }

    @AfterEach
    void close() {
        ledger.close();
    }

    private static Operation write(String value) {
        return new Operation.Put("state", value.getBytes(UTF_8));
    }

    @Test
    void whoJoinsIsThereOnceAndWhoIsStartedAgainTakesThePlaceOfTheOneBefore() {
        assertThat(members.roster()).isEqualTo(new Members.Roster(List.of(), -1));
        members.join(OTHER);
        members.join(FIRST);
        assertThat(members.roster().members()).containsExactly(FIRST, OTHER);
        assertThat(members.join(AGAIN).members()).containsExactly(AGAIN, OTHER);
        assertThat(members.roster().member("one")).contains(AGAIN);
        members.leave(FIRST);
        assertThat(members.roster().members()).containsExactly(AGAIN, OTHER);
        members.leave(AGAIN);
        assertThat(members.roster().members()).containsExactly(OTHER);
    }

    @Test
    void whatRestsOnAMembershipIsRefusedOnceSomebodyHasJoinedLeftOrBeenStartedAgain() {
        for (Runnable change :
                List.<Runnable>of(() -> members.join(FIRST), () -> members.join(AGAIN), () -> members.leave(AGAIN))) {
            long version = members.roster().version();
            assertThat(ledger.transact(List.of(Members.expected(version), write("before"))))
                    .isInstanceOf(Outcome.Done.class);
            change.run();
            assertThat(ledger.transact(List.of(Members.expected(version), write("after"))))
                    .isInstanceOf(Outcome.Conflict.class);
        }
        assertThat(ledger.read("state").map(Entry::text)).contains("before");
    }

    @Test
    void manyJoinAtOnceAndNobodyIsForgotten() {
        IntStream.range(0, 40)
                .parallel()
                .forEach(i -> new Members(ledger).join(new Member("n" + i, "x", "", List.of("sessions"))));
        assertThat(members.roster().members()).hasSize(40);
    }

    @Test
    void oneOfTwoThatClaimAtTheSameTimeHasTheClaim() {
        Optional<Claim> first = Claim.take(ledger, "r", Optional.empty(), LEADER);
        Optional<Claim> second = Claim.take(ledger, "r", Optional.empty(), SUCCESSOR);
        assertThat(first).isPresent();
        assertThat(second).isEmpty();
        assertThat(Claim.holder(ledger, "r")).contains(LEADER);
    }

    @Test
    void whoWasTakenOverWritesNothingMore() {
        Claim before = Claim.take(ledger, "r", Optional.empty(), LEADER).orElseThrow();
        before.ledger().transact(List.of(write("by the first")));
        Claim after = Claim.take(ledger, "r", Optional.of(LEADER), SUCCESSOR).orElseThrow();
        assertThatThrownBy(() -> before.ledger().transact(List.of(write("late"))))
                .isInstanceOfSatisfying(
                        LedgerException.class, e -> assertThat(e.code()).isEqualTo(LedgerException.Code.SUPERSEDED))
                .hasMessageContaining("two");
        assertThatThrownBy(before::demandStanding).isInstanceOf(LedgerException.class);
        assertThatThrownBy(() -> new Decisions(before.ledger())
                        .decide("r.1", Verdict.COMMIT, "late", "{}".getBytes(UTF_8), List.of()))
                .isInstanceOf(LedgerException.class);
        assertThat(new Decisions(ledger).read("r.1")).isEmpty();
        after.ledger().transact(List.of(write("by the second")));
        after.demandStanding();
        assertThat(ledger.read("state").map(Entry::text)).contains("by the second");
    }

    @Test
    void theFirstRouteIsSetOnce() {
        Routes routes = new Routes(ledger);
        assertThat(routes.begin("sessions", "blue")).isEqualTo(new Route("blue", 1));
        assertThat(routes.begin("sessions", "green")).isEqualTo(new Route("blue", 1));
        routes.copy("carts", new Route("old", 7));
        assertThat(routes.current("carts")).contains(new Route("old", 7));
    }
}
