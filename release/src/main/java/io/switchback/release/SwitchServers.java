package io.switchback.release;

import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ReplicationState;
import io.switchback.fleet.ReplicationState.Role;
import io.switchback.fleet.RoleChange;
import io.switchback.fleet.RoleCommands;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.Token;
import io.switchback.fleet.TokenWatch;
import io.switchback.sync.LinkBase;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The two servers of one cache's switch, {@code A} in use and {@code B} to be, and the two changes of role that end a switch: B becomes a primary
 * ({@link #promote}), or A does again ({@link #takeBack}).
 *
 * <p>Both are guarded by the switch's token and change nothing where it is done already, so whoever finds the decision may carry it out, and
 * any number of nodes may at the same time. For one thread at a time.
 */
final class SwitchServers implements SwitchRoles {
    private static final int TAKE_BACK_ATTEMPTS_MAX = 10;

    private final Token token;
    private final FleetSpec fleetA;
    private final FleetSpec fleetB;
    private @Nullable ServerConnection serverA;
    private @Nullable ServerConnection serverB;
    /** For an abort alone: a fence that overran the hold limit may still be waiting on the other one. */
    private @Nullable ServerConnection spareA;

    private @Nullable TokenWatch watchB;

    SwitchServers(Token token, FleetSpec fleetA, FleetSpec fleetB) {
        this.token = token;
        this.fleetA = fleetA;
        this.fleetB = fleetB;
    }

    ServerConnection a() {
        if (serverA == null) {
            serverA = ServerConnection.open(fleetA, MovingCache.SERVER_TIMEOUT);
        }
        return serverA;
    }

    ServerConnection b() {
        if (serverB == null) {
            serverB = ServerConnection.open(fleetB, MovingCache.SERVER_TIMEOUT);
        }
        return serverB;
    }

    /** Opens what an abort will need, while there is time. */
    void connectForAbort() {
        if (spareA == null) {
            spareA = ServerConnection.open(fleetA, MovingCache.SERVER_TIMEOUT);
        }
    }

    /** Has B watch the token, so that the promotion is one round trip. The token must have reached it. */
    void watchB() {
        watchB = RoleCommands.watch(b(), token);
    }

    @Override
    public void connectAhead() {
        connectForAbort();
        watchB();
    }

    @Override
    public void commit(List<SourceBase> decided) {
        promote(decided.isEmpty() ? null : decided.getFirst().base());
    }

    @Override
    public void abort() {
        takeBack();
    }

    /**
     * What B is after its promotion.
     *
     * @param asDecided whether B is what the decision speaks of; if not, it was restarted or changed meanwhile
     */
    record Promoted(ReplicationState before, ReplicationState after, boolean asDecided) {}

    /**
     * Makes B a primary.
     *
     * @param decided where B stood when it was decided; null where the switch accepted a loss
     */
    Promoted promote(@Nullable LinkBase decided) {
        TokenWatch standing = watchB;
        watchB = null;
        if (standing != null) {
            try {
                // This connection was open when B's offset was read, so B is what the decision speaks of.
                ReplicationState after =
                        RelayLinks.demandChanged(standing.promote()).after();
                return new Promoted(after, after, true);
            } catch (FleetException e) {
                // The connection is gone, perhaps with the server that it went to: look what is there now.
                forgetB();
            }
        }
        try {
            ReplicationState found = ReplicationState.read(b());
            boolean asDecided = decided == null || isAt(found, decided);
            if (found.role() == Role.PRIMARY) {
                return new Promoted(found, found, asDecided);
            }
            ReplicationState after =
                    RelayLinks.demandChanged(RoleCommands.promote(b(), token)).after();
            return new Promoted(found, after, asDecided);
        } catch (FleetException e) {
            forgetB();
            throw e;
        }
    }

    /** A connection that broke is of no further use; the next attempt opens another. */
    private void forgetB() {
        ServerConnection broken = serverB;
        serverB = null;
        if (broken != null) {
            broken.close();
        }
    }

    private static boolean isAt(ReplicationState found, LinkBase decided) {
        return found.role() == Role.REPLICA
                ? found.id().equals(decided.sourceId()) && found.offset() == decided.sourceOffset()
                : found.id().equals(decided.sourceId()) || found.secondId().equals(decided.sourceId());
    }

    /**
     * Makes A a primary, and a fence of this switch that is still on its way one that A itself refuses. It is done once A has
     * taken the closed token as a primary: then no fence can come any more. Where A does not take it, being a replica, a fence has
     * come already, and A is promoted first; a second fence may come in between, so this looks again.
     */
    ReplicationState takeBack() {
        boolean ahead = spareA != null;
        try {
            return takeBackOnce();
        } catch (FleetException e) {
            if (!ahead || e.code() != FleetException.Code.UNREACHABLE) {
                throw e;
            }
            // The fence may have killed the connection that was opened ahead.
            return takeBackOnce();
        }
    }

    private ReplicationState takeBackOnce() {
        connectForAbort();
        ServerConnection a = Objects.requireNonNull(spareA);
        try {
            for (int attempt = 1; attempt <= TAKE_BACK_ATTEMPTS_MAX; attempt++) {
                RoleCommands.Offer offer = RoleCommands.offerToken(a, token.close());
                ReplicationState state = ReplicationState.read(a);
                if (offer == RoleCommands.Offer.TAKEN && state.role() == Role.PRIMARY) {
                    return state;
                }
                // A replica that takes writes (replica-read-only no) took the token as well.
                RoleChange change = RoleCommands.promote(a, token.close());
                if (change instanceof RoleChange.Refused(String why)) {
                    throw new ReleaseException(
                            ReleaseException.Code.STEP_FAILED, "a change of role was refused: " + why);
                }
            }
        } catch (FleetException e) {
            spareA = null;
            a.close();
            throw e;
        }
        throw new ReleaseException(
                ReleaseException.Code.STEP_FAILED,
                a.endpoint() + " was made a replica again each of " + TAKE_BACK_ATTEMPTS_MAX
                        + " times that it was made a primary; who else changes its role?");
    }

    @Override
    public void close() {
        for (ServerConnection connection : new ServerConnection[] {serverA, serverB, spareA}) {
            if (connection != null) {
                connection.close();
            }
        }
    }
}
