package io.switchback.sync.apply;

/**
 * A point of the source's stream that stands between two commands and in no transaction.
 *
 * @param offset   what the source calls it
 * @param database which one the stream has selected there; {@link #UNKNOWN} where it has not said so yet
 */
record Place(long offset, int database) {
    static final int UNKNOWN = -1;

    Place earlierOf(Place other) {
        return other.offset < offset ? other : this;
    }
}
