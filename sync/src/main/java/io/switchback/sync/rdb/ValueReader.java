package io.switchback.sync.rdb;

import io.switchback.fleet.ServerVersion;
import io.switchback.fleet.ServerVersion.Product;
import io.switchback.sync.Crc64;
import io.switchback.sync.rdb.RdbInput.PastMark;
import java.io.IOException;
import org.jspecify.annotations.Nullable;

/**
 * Reads one value after the other and gives out what rebuilds it: one RESTORE where the target takes the value as it stands and it is small,
 * else commands, in pieces. For one thread.
 */
final class ValueReader {
    private static final byte[] RESTORE = KeyCommands.word("RESTORE");
    private static final byte[] REPLACE = KeyCommands.word("REPLACE");
    private static final byte[] ABSTTL = KeyCommands.word("ABSTTL");
    private static final byte[] IDLETIME = KeyCommands.word("IDLETIME");
    private static final byte[] FREQ = KeyCommands.word("FREQ");
    private static final byte[] SET = KeyCommands.word("SET");
    private static final byte[] APPEND = KeyCommands.word("APPEND");
    private static final byte[] RPUSH = KeyCommands.word("RPUSH");
    private static final byte[] SADD = KeyCommands.word("SADD");
    private static final byte[] ZADD = KeyCommands.word("ZADD");
    private static final byte[] NEVER = KeyCommands.word(0);

    private static final int VERSION_BYTES = 2;
    private static final int CHECKSUM_BYTES = 8;
    private static final int FOOTER_BYTES = VERSION_BYTES + CHECKSUM_BYTES;

    private static final int SCORE_NOT_A_NUMBER = 253;
    private static final int SCORE_INFINITE = 254;
    private static final int SCORE_MINUS_INFINITE = 255;

    private static final int NODE_PLAIN = 1;
    private static final int NODE_PACKED = 2;

    private static final String VECTOR_SET = "vectorset";
    private static final String MODULE_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    private static final int MODULE_LETTERS_OF_NAME = 9;
    private static final int MODULE_VERSION_BITS = 10;

    private final RdbInput in;
    private final ServerVersion source;
    private final ValueTarget target;
    private final SnapshotSink sink;
    private final RdbLimits limits;
    private final ValueWalk walk;

    /**
     * What stands before a key in a snapshot.
     *
     * @param expiresAtMillis -1: never
     * @param idleSeconds -1: not said
     * @param frequency -1: not said
     */
    record Attributes(long expiresAtMillis, long idleSeconds, int frequency) {
        static final Attributes NONE = new Attributes(-1, -1, -1);

        Attributes expiring(long atMillis) {
            // A time in the past ends the key at once; RESTORE and PEXPIREAT take none below 0, and RESTORE takes 0 for
            // never.
            return new Attributes(Math.max(1, atMillis), idleSeconds, frequency);
        }

        Attributes idle(long seconds) {
            return new Attributes(expiresAtMillis, seconds, frequency);
        }

        Attributes used(int times) {
            return new Attributes(expiresAtMillis, idleSeconds, times);
        }
    }

    ValueReader(RdbInput in, ServerVersion source, ValueTarget target, SnapshotSink sink, RdbLimits limits) {
        this.in = in;
        this.source = source;
        this.target = target;
        this.sink = sink;
        this.limits = limits;
        this.walk = new ValueWalk(in, source.product());
    }

    /** Reads the value whose type and key were read. */
    void read(int type, int database, byte[] key, Attributes attributes) throws IOException {
        if (type == RdbTypes.MODULE_BEFORE_RELEASE) {
            throw in.malformed(
                    "a value of a module in the form of before its release, which nobody can tell the end of");
        }
        KeyCommands commands = new KeyCommands(sink, limits, database, key);
        if (RdbTypes.isOpaque(source.product(), type)) {
            opaque(type, commands, attributes);
        } else if (RdbTypes.isStream(source.product(), type)) {
            stream(type, commands, attributes);
        } else if (!target.loads(source.product(), type)
                || !restored(type, limits.payloadBytesMax(), commands, attributes)) {
            rebuild(type, commands, attributes.expiresAtMillis());
        }
    }

    // As it stands

    /** False: it is larger than that, or the target may not take it, and nothing of it was taken. */
    private boolean restored(int type, int bytesMax, KeyCommands commands, Attributes attributes) throws IOException {
        in.mark(bytesMax);
        try {
            boolean holdsAnything = walk.skip(type);
            if (target.readsListpacksOtherwise(source) && in.longestSkipped() > ValueTarget.LISTPACK_BYTES_SURE) {
                in.reset();
                return false;
            }
            if (holdsAnything) {
                restore(type, in.takeMarked(1, FOOTER_BYTES), commands, attributes);
            } else {
                in.dropMark();
            }
            return true;
        } catch (PastMark e) {
            in.reset();
            return false;
        }
    }

    /** {@code payload}: the value, behind one free byte and before those of the footer. */
    private void restore(int type, byte[] payload, KeyCommands commands, Attributes attributes) throws IOException {
        seal(type, payload);
        boolean idle = attributes.idleSeconds() >= 0;
        boolean used = !idle && attributes.frequency() >= 0;
        byte[][] words = new byte[idle || used ? 8 : 6][];
        words[0] = RESTORE;
        words[1] = commands.key();
        words[2] = attributes.expiresAtMillis() < 0 ? NEVER : KeyCommands.word(attributes.expiresAtMillis());
        words[3] = payload;
        words[4] = REPLACE;
        words[5] = ABSTTL;
        if (idle || used) {
            words[6] = idle ? IDLETIME : FREQ;
            words[7] = KeyCommands.word(idle ? attributes.idleSeconds() : attributes.frequency());
        }
        commands.sendReplacing(words);
    }

    /** Type, version and checksum, as DUMP has them. The version is that which brought the type: each target that loads the type takes it. */
    private void seal(int type, byte[] payload) {
        payload[0] = (byte) type;
        int end = payload.length - CHECKSUM_BYTES;
        int version = RdbTypes.versionOf(source.product(), type);
        payload[end - 2] = (byte) version;
        payload[end - 1] = (byte) (version >>> 8);
        long checksum = Crc64.update(0, payload, 0, end);
        for (int i = 0; i < CHECKSUM_BYTES; i++) {
            payload[end + i] = (byte) (checksum >>> (8 * i));
        }
    }

    /** What no commands rebuild: as it stands, or not at all. */
    private void opaque(int type, KeyCommands commands, Attributes attributes) throws IOException {
        String what = type == RdbTypes.ARRAY ? "an array" : "a rate limit";
        boolean loads = target.loads(source.product(), type);
        in.mark(limits.opaquePayloadBytesMax());
        if (type == RdbTypes.MODULE_2) {
            String module = moduleName(in.number());
            in.reset();
            in.mark(limits.opaquePayloadBytesMax());
            loads = module.equals(VECTOR_SET) && target.loadsVectorSetOf(source);
            what = module.equals(VECTOR_SET) ? "a vector set" : "a value of the module type " + module;
        }
        if (!loads) {
            in.dropMark();
            walk.skip(type);
            commands.inexpressible(what + ", which " + target.version() + " does not load");
            return;
        }
        in.reset();
        if (!restored(type, limits.opaquePayloadBytesMax(), commands, attributes)) {
            walk.skip(type);
            commands.inexpressible(what + " of more than " + limits.opaquePayloadBytesMax() + " bytes");
        }
    }

    static String moduleName(long id) {
        StringBuilder name = new StringBuilder();
        for (int i = 0; i < MODULE_LETTERS_OF_NAME; i++) {
            int shift = MODULE_VERSION_BITS + 6 * (MODULE_LETTERS_OF_NAME - 1 - i);
            name.append(MODULE_LETTERS.charAt((int) (id >>> shift) & 0x3f));
        }
        return name.toString();
    }

    // Streams

    private void stream(int type, KeyCommands commands, Attributes attributes) throws IOException {
        boolean asItStands = target.loads(source.product(), type);
        if (asItStands && restored(type, limits.streamPayloadBytesMax(), commands, attributes)) {
            return;
        }
        if (!asItStands && !mayHoldOtherListpacks(type)) {
            StreamPayload payload = new StreamPayload(in, walk, type, target.streamType(), commands);
            byte @Nullable [] older = payload.rewritten(limits.streamPayloadBytesMax(), 1, FOOTER_BYTES);
            if (older != null) {
                restore(target.streamType(), older, commands, attributes);
                return;
            }
        }
        new StreamCommands(in, walk, type, target, commands).rebuild(attributes.expiresAtMillis());
    }

    /** Of a stream that is small enough to be sent in one piece. */
    private boolean mayHoldOtherListpacks(int type) throws IOException {
        if (!target.readsListpacksOtherwise(source)) {
            return false;
        }
        in.mark(limits.streamPayloadBytesMax());
        try {
            walk.skip(type);
            return in.longestSkipped() > ValueTarget.LISTPACK_BYTES_SURE;
        } catch (PastMark e) {
            return true;
        } finally {
            in.reset();
        }
    }

    // By commands

    private void rebuild(int type, KeyCommands commands, long expiresAtMillis) throws IOException {
        switch (type) {
            case RdbTypes.STRING -> string(commands);
            case RdbTypes.LIST -> strings(RPUSH, commands);
            case RdbTypes.SET -> strings(SADD, commands);
            case RdbTypes.ZSET, RdbTypes.ZSET_2 -> scored(type, commands);
            case RdbTypes.HASH -> hash(type, commands);
            case RdbTypes.HASH_ZIPMAP -> pairs(new Zipmap(in.open()), commands);
            case RdbTypes.HASH_ZIPLIST -> pairs(new Ziplist(in.open()), commands);
            case RdbTypes.HASH_LISTPACK -> pairs(new Listpack(in.open()), commands);
            case RdbTypes.LIST_ZIPLIST -> elements(RPUSH, new Ziplist(in.open()), commands);
            case RdbTypes.SET_INTSET -> elements(SADD, new IntegerSet(in.open()), commands);
            case RdbTypes.SET_LISTPACK -> elements(SADD, new Listpack(in.open()), commands);
            case RdbTypes.ZSET_ZIPLIST -> members(new Ziplist(in.open()), commands);
            case RdbTypes.ZSET_LISTPACK -> members(new Listpack(in.open()), commands);
            case RdbTypes.LIST_QUICKLIST, RdbTypes.LIST_QUICKLIST_2 -> nodes(type, commands);
            default -> {
                boolean packed =
                        type == RdbTypes.HASH_LISTPACK_TIMES || type == RdbTypes.HASH_LISTPACK_TIMES_BEFORE_RELEASE;
                boolean valkey = source.product() == Product.VALKEY;
                if (valkey ? type != RdbTypes.VALKEY_HASH_2 : type > RdbTypes.HASH_LISTPACK_TIMES) {
                    throw walk.unknown(type);
                }
                if (packed && !valkey) {
                    triples(type, commands);
                } else {
                    hash(type, commands);
                }
            }
        }
        commands.finish(expiresAtMillis);
    }

    private void string(KeyCommands commands) throws IOException {
        StringBytes bytes = in.open();
        commands.sendReplacing(SET, commands.key(), piece(bytes));
        while (bytes.remaining() > 0) {
            commands.send(APPEND, commands.key(), piece(bytes));
        }
        bytes.finish();
    }

    private byte[] piece(StringBytes bytes) throws IOException {
        return bytes.bytes(Math.min(bytes.remaining(), limits.pieceBytes()));
    }

    private void strings(byte[] command, KeyCommands commands) throws IOException {
        commands.collect(command);
        long count = in.length();
        for (long i = 0; i < count; i++) {
            commands.add(in.string());
        }
    }

    private static void elements(byte[] command, PackedElements elements, KeyCommands commands) throws IOException {
        commands.collect(command);
        for (byte[] element = elements.next(); element != null; element = elements.next()) {
            commands.add(element);
        }
    }

    private void nodes(int type, KeyCommands commands) throws IOException {
        commands.collect(RPUSH);
        long count = in.length();
        for (long i = 0; i < count; i++) {
            if (type == RdbTypes.LIST_QUICKLIST) {
                elements(RPUSH, new Ziplist(in.open()), commands);
                continue;
            }
            long container = in.length();
            if (container == NODE_PLAIN) {
                commands.add(in.string());
            } else if (container == NODE_PACKED) {
                elements(RPUSH, new Listpack(in.open()), commands);
            } else {
                throw in.malformed("a list's node of the kind " + container);
            }
        }
    }

    private void scored(int type, KeyCommands commands) throws IOException {
        commands.collect(ZADD);
        long withoutNumber = 0;
        long count = in.length();
        for (long i = 0; i < count; i++) {
            byte[] member = in.string();
            byte @Nullable [] score =
                    type == RdbTypes.ZSET_2 ? Scores.text(Double.longBitsToDouble(in.littleEndian(8))) : scoreInText();
            if (score == null) {
                withoutNumber++;
            } else {
                commands.add(score, member);
            }
        }
        withoutNumber(withoutNumber, commands);
    }

    private static void withoutNumber(long members, KeyCommands commands) {
        if (members > 0) {
            commands.inexpressible(members + " members of a sorted set whose score is not a number");
        }
    }

    private byte @Nullable [] scoreInText() throws IOException {
        int length = in.unsignedByte();
        return switch (length) {
            case SCORE_NOT_A_NUMBER -> null;
            case SCORE_INFINITE -> Scores.INFINITE;
            case SCORE_MINUS_INFINITE -> Scores.MINUS_INFINITE;
            default -> in.bytes(length);
        };
    }

    private static void members(PackedElements elements, KeyCommands commands) throws IOException {
        commands.collect(ZADD);
        long withoutNumber = 0;
        for (byte[] member = elements.next(); member != null; member = elements.next()) {
            byte[] score = elements.demand();
            if (Scores.isNumber(score)) {
                commands.add(score, member);
            } else {
                withoutNumber++;
            }
        }
        withoutNumber(withoutNumber, commands);
    }

    private void pairs(PackedElements elements, KeyCommands commands) throws IOException {
        HashCommands hash = new HashCommands(commands, target);
        for (byte[] field = elements.next(); field != null; field = elements.next()) {
            hash.add(field, elements.demand(), HashCommands.NEVER);
        }
        hash.finish();
    }

    private void triples(int type, KeyCommands commands) throws IOException {
        if (type == RdbTypes.HASH_LISTPACK_TIMES) {
            in.littleEndian(8); // the earliest of all; in this form the others do not count from it
        }
        HashCommands hash = new HashCommands(commands, target);
        Listpack elements = new Listpack(in.open());
        for (byte[] field = elements.next(); field != null; field = elements.next()) {
            byte[] value = elements.demand();
            long at = elements.demandNumber();
            hash.add(field, value, at == 0 ? HashCommands.NEVER : at);
        }
        hash.finish();
    }

    private void hash(int type, KeyCommands commands) throws IOException {
        boolean valkey = source.product() == Product.VALKEY;
        boolean timesFirst = !valkey && type != RdbTypes.HASH;
        boolean timesLast = valkey && type == RdbTypes.VALKEY_HASH_2;
        long earliest = type == RdbTypes.HASH_FIELD_TIMES && !valkey ? in.littleEndian(8) : 1;
        HashCommands hash = new HashCommands(commands, target);
        long count = in.length();
        for (long i = 0; i < count; i++) {
            long distance = timesFirst ? in.number() : 0;
            byte[] field = in.string();
            byte[] value = in.string();
            long at = distance == 0 ? HashCommands.NEVER : earliest + distance - 1;
            hash.add(field, value, timesLast ? in.littleEndian(8) : at);
        }
        hash.finish();
    }
}
