package io.switchback.release;

/** The stages of a release, in order. Each is idempotent, and journalled before it acts. */
public enum Step {
    /** Asks both fleets whether the move and the way back can work at all; changes nothing. */
    CHECK("asks whether the move and the way back can work; changes nothing"),
    /** Makes sure that the snapshot that is about to pass can be kept beside. */
    BACKUP("makes room for the snapshot that will be kept as a backup"),
    /** Lets the snapshot pass to the new fleet, and writes it beside. */
    MIGRATE("copies the data to the new fleet, once"),
    /** Waits until the stream has made the new fleet as good as equal. */
    SYNC("follows the stream of writes until the lag is small and stays so"),
    /** Compares the fleets while both move. */
    VERIFY("compares keys, types, values and times to live of both fleets"),
    /** Moves all traffic in one atomic step. */
    CUTOVER("moves all traffic in one atomic step"),
    /** Judges the gates on live traffic; the old fleet follows. */
    OBSERVE("judges the gates on live traffic; the way back is open"),
    /** Waits for the word that gives up the way back, then gives it up. */
    FINISH("gives up the way back and closes the books");

    private final String purpose;

    Step(String purpose) {
        this.purpose = purpose;
    }

    /** What the step is for, in a few words for a person. */
    public String purpose() {
        return purpose;
    }

    /** The name as people write it. */
    public String title() {
        return name().toLowerCase(java.util.Locale.ROOT);
    }
}
