package io.switchback.sync.rdb;

/**
 * How much of a value is held and sent at a time.
 *
 * @param payloadBytesMax a value up to this size goes out as one RESTORE where the target takes it; a larger one in pieces
 * @param streamPayloadBytesMax the same for a stream, whose groups commands carry less exactly
 * @param opaquePayloadBytesMax the same for what no commands rebuild: vector sets and others; a larger one is reported
 * @param pieceBytes a command ends with the element that takes it over this
 * @param pieceElements elements of one command at the most
 */
public record RdbLimits(
        int payloadBytesMax, int streamPayloadBytesMax, int opaquePayloadBytesMax, int pieceBytes, int pieceElements) {
    /** For links. */
    public static final RdbLimits DEFAULT = new RdbLimits(64 * 1024, 1024 * 1024, 32 * 1024 * 1024, 64 * 1024, 512);

    /** One element, key or name; the servers' own limit (proto-max-bulk-len) unless somebody raised it. */
    static final long ELEMENT_BYTES_MAX = 512L * 1024 * 1024;

    /** Entries that were delivered and not acknowledged, of one group; 28 bytes each are held. */
    static final int PENDING_ENTRIES_MAX = 4 * 1024 * 1024;

    /** Ids of a stream's entries, kept to tell pending entries that are gone; two to four bytes each. */
    static final int LIVE_IDS_BYTES_MAX = 64 * 1024 * 1024;

    /** Facts that a snapshot begins with. */
    static final int FACTS_MAX = 256;

    /** Greatest lengths of names and values of those facts. */
    static final int FACT_BYTES_MAX = 64 * 1024;
}
