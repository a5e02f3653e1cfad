package io.switchback.ledger;

/** One part of a transaction. The operations of a transaction take effect in their order, all or none. */
public sealed interface Operation {
    String path();

    /** A new entry; conflicts where there is one already. */
    record Create(String path, byte[] value) implements Operation {}

    /** A new entry, or a new value for the one that is there. */
    record Put(String path, byte[] value) implements Operation {}

    /** A new value; conflicts where the entry is not there or not at this version. */
    record Replace(String path, byte[] value, long expectedVersion) implements Operation {}

    /** Takes the entry away; conflicts where there is none. Entries below its path stay. */
    record Delete(String path) implements Operation {}

    /** Changes nothing; conflicts where the entry is not there or not at this version. */
    record Expect(String path, long version) implements Operation {}

    /** Changes nothing; conflicts where there is an entry. */
    record ExpectAbsent(String path) implements Operation {}
}
