package io.switchback.release;

import io.switchback.environment.Deadline;
import io.switchback.release.SwitchRegister.CacheEvidence;
import java.time.Duration;
import java.util.Map;

/**
 * What the leader of a switch does to one cache's fleets, from {@code A}, in use, to {@code B}: {@link #prepare} before the hold, {@link #fence} within it, and after
 * the decision {@link #commit} or {@link #abort}, and then {@link #openWayBack} or {@link #goOnWhereItWas}. What happens to clients is the nodes' ({@link
 * CacheParticipant}).
 *
 * <p>What comes after the decision needs nothing but the ledger's evidence, may be repeated, and may be run by whoever finds
 * the switch after a crash. For one thread at a time.
 */
sealed interface CacheSwitch extends AutoCloseable permits RelaySwitch, ApplySwitch {

    /**
     * What is known before it begins.
     *
     * @param nodesAreMissing whether there are nodes that do not take part and may still have connections to A
     * @param fromIsDead whether A is known not to answer, so that nobody waits for it once more
     * @param toIsDead whether B is
     */
    record Known(boolean nodesAreMissing, boolean fromIsDead, boolean toIsDead) {}

    MovingCache cache();

    SwitchPart part();

    /** How long each part took, in the order in which they happened. */
    Map<String, Duration> took();

    /** Whether A answers; known after {@link #prepare}. */
    boolean fromAnswers();

    /** What is published at A once all nodes hold, for the subscribers among their clients; empty where it cannot be. */
    String mark();

    /** Everything that can be done at the fleets, or can fail there, while clients are still served. */
    void prepare(Deadline deadline);

    /** Makes A's data final, and B equal to it: when this returns, nobody writes to either. */
    CacheEvidence fence(Deadline deadline);

    /** After the decision: B takes writes, if it lives. Repeatable. */
    void commit(CacheEvidence evidence);

    /** Whether the fleets are as the verdict wants them; not where one is dead. */
    boolean hasRoles();

    /** After {@link #commit}, and after the nodes have let go: A follows B. Repeatable. */
    void openWayBack(CacheEvidence evidence);

    /** After the decision, or before it was asked for: A takes writes again, if it lives. Repeatable. */
    void abort();

    /** After {@link #abort}, and after the nodes have let go: B follows A again. Repeatable. */
    void goOnWhereItWas();

    /** What a switch that accepted a loss cannot confirm; empty where that is nothing, or nothing is known of it. */
    String unconfirmed();

    @Override
    void close();
}
