package io.switchback.sync.rdb;

import java.io.IOException;

/** What was read is not a snapshot or value as servers write it, or is of a form that is not known here; says where. */
public final class RdbFormatException extends IOException {
    private static final long serialVersionUID = 1;

    private final long offset;

    RdbFormatException(long offset, String what) {
        super(what + ", at byte " + offset);
        this.offset = offset;
    }

    /** How many bytes had been read when it was noticed. */
    public long offset() {
        return offset;
    }
}
