package io.switchback.sync.apply;

import io.switchback.fleet.ReservedKeys;
import io.switchback.resp.KeySlot;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** A key of one database. Immutable: nobody changes the bytes. */
@SuppressWarnings("ArrayRecordComponent") // compared by its bytes, below
record Key(int database, byte[] name) {
    boolean isReserved() {
        return ReservedKeys.isReserved(name);
    }

    int slot() {
        return KeySlot.of(name);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Key(int otherDatabase, byte[] otherName)
                && database == otherDatabase
                && Arrays.equals(name, otherName);
    }

    @Override
    public int hashCode() {
        return 31 * Arrays.hashCode(name) + database;
    }

    @Override
    public String toString() {
        return new String(name, StandardCharsets.UTF_8) + (database == 0 ? "" : " of database " + database);
    }
}
