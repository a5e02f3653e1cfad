package io.switchback.release;

/** What becomes of a move to a cluster whose clients do what a cluster refuses ({@code cluster-obstacles}). */
public enum OnObstacle {
    /** It is not begun, and no traffic is moved. */
    REFUSE,
    /** It is said, and the move goes on: clients will see errors for those commands. */
    REPORT
}
