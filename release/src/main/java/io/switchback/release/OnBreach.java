package io.switchback.release;

/** What a breached gate leads to while a release is observed. */
public enum OnBreach {
    ROLLBACK,
    /** The release stands where it is until a person says what next. */
    PAUSE,
    /** It is written down, and the release goes on. */
    REPORT
}
