package io.switchback.release;

/** What the death of the fleet in use leads to, while the other one has its data. */
public enum OnFleetLoss {
    /** All traffic moves to the fleet that lives, and the release ends there; what is not confirmed there is reported. */
    SWITCH,
    /** Clients wait for the fleet, or for a person's word. */
    WAIT
}
