package io.switchback.testkit.load;

/** The ways to keep one value that is written over and over. */
enum RegisterKind {
    /** A plain string. */
    STRING,
    /** A string with a time to live that lies far ahead. */
    EXPIRING,
    /** Two strings that are only ever written together, in one transaction. */
    PAIR,
    /** A field of a hash. */
    HASH_FIELD,
    /** The score of a member of a sorted set. */
    SCORE
}
