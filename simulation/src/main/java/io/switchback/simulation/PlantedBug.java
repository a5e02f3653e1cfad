package io.switchback.simulation;

/**
 * One mistake each, made in the simulated world to see that a law notices. Most are mistakes that nobody has made in the code; those after the gap
 * it once had (docs/simulation.md).
 */
public enum PlantedBug {
    /** A participant that hears nothing lets go by its own word, not by the register's. */
    SECOND_COMMIT_POINT,
    /** A decision does not expect the membership at the version under which it was voted. */
    NO_MEMBERSHIP_CHECK,
    /** A participant takes part once more in a switch that is over. */
    LATE_PREPARE_ACCEPTED,
    /** B's offset is read before the forward link is frozen. */
    TARGET_READ_BEFORE_FREEZE,
    /** The forward link is not frozen at all. */
    LINK_NOT_FROZEN,
    /** A's last offset is the one from before the fence. */
    OFFSET_BEFORE_FENCE,
    /** The decision does not wait for A's answer to the fence. */
    FENCE_NOT_AWAITED,
    /** No fence at all: B is equal to A, and that has to do. */
    NO_FENCE,
    /** Nodes are told before B is a primary. */
    LET_GO_BEFORE_PROMOTION,
    /** B becomes a primary before the register has spoken. */
    PROMOTED_BEFORE_DECISION,
    /** Who takes over uses the number of the leader before. */
    TAKEOVER_KEEPS_TOKEN,
    /** Servers change roles without looking at the token. */
    NO_TOKEN_GUARD,
    /** A leader believes that it leads for as long as it has not heard otherwise, and writes without its claim. */
    CLAIM_NOT_CHECKED,
    /** An abort makes A a primary and leaves the token open, so that a late fence is taken. */
    ABORT_LEAVES_TOKEN_OPEN,
    /** The reverse link begins one item before the drained offset. */
    WAY_BACK_TOO_EARLY,
    /** The reverse link begins one item after the drained offset. */
    WAY_BACK_TOO_LATE,
    /** A vote does not wait for what was sent to be answered. */
    VOTE_BEFORE_HOLD,
    /** Connections of nodes that do not take part are left alone. */
    MISSING_NOT_KILLED,
    /** A node carries commands over a new connection without looking at the route. */
    NO_ROUTE_CHECK,
    /** An apply link keeps its checkpoint beside its batch ({@link ApplyWorld}). */
    CHECKPOINT_BESIDE_BATCH,

    /** A node whose claim was taken, and that was not told, believes itself to lead and leads not. */
    LOST_CLAIM_IS_BELIEVED,
    /** A node that starts after the decision, and has no part in the switch, serves on B before it is a primary. */
    STARTED_NODE_DOES_NOT_PROMOTE,
    /** A node that was made ready and then heard nothing more, while the switch was closed without it, is in it for ever. */
    READY_FOR_EVER,
    /** The target of a link is told once to follow it, and not again where that did not arrive or was undone by a late command. */
    LINK_NOT_POINTED_AGAIN,
    /** A new connection of a node that does not take part in a switch is looked at by the route alone, and used before the decision. */
    UNDECIDED_SWITCH_NOT_SEEN;
}
