package io.switchback.proxy;

/** Whether an acknowledged write is on both fleets. In the order of how much is wrong. */
public enum ProtectionState {
    /** Nobody has asked for it, or not for the route in use. */
    OFF,
    /** It is. */
    ON,
    /** It is, and for longer than {@link Protection#stall} no write could be acknowledged. */
    WAITING,
    /** It is not at the moment, since clients do not wait for a fleet that does not confirm. */
    SUSPENDED
}
