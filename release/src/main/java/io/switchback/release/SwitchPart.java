package io.switchback.release;

import io.switchback.commit.SwitchId;
import io.switchback.fleet.Token;
import io.switchback.release.ReleaseState.Side;

/**
 * One cache's part in a switch, as every node that takes part must know it: undo and redo in one.
 *
 * @param release the switch's, with {@code number} its id
 * @param number drawn for this switch alone
 * @param oldFleet of the release
 * @param newFleet of the release
 * @param to where it goes
 * @param epoch of the route until now; a commit makes it one more
 * @param link the kind of the cache's links
 * @param acceptLoss whether it goes without what the fleet that is left has and the other has not
 */
record SwitchPart(
        String release,
        long number,
        String cache,
        String oldFleet,
        String newFleet,
        Side to,
        long epoch,
        LinkKind link,
        boolean acceptLoss) {

    SwitchId id() {
        return new SwitchId(release, number);
    }

    /** What the servers must hold for a change of role by this switch to be taken. */
    Token token() {
        return Token.open(number, id().toString());
    }

    /** The fleet in use until now. */
    String fromFleet() {
        return to == Side.OLD ? newFleet : oldFleet;
    }

    /** The fleet that a commit leads to. */
    String toFleet() {
        return to == Side.OLD ? oldFleet : newFleet;
    }
}
