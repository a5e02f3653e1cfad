package io.switchback.sync.rdb;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.fleet.FleetException;
import io.switchback.fleet.ServerVersion;
import io.switchback.fleet.ServerVersion.Product;
import io.switchback.sync.rdb.ValueReader.Attributes;
import java.io.IOException;
import java.io.InputStream;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Reads a snapshot (an RDB file, as a server saves it or sends it to a replica) and gives out what rebuilds its keys at a target. For one thread.
 *
 * <p>Memory: a buffer, and of each value what {@link RdbLimits} says; never a large value whole. The checksum stands at the end: what was given
 * out before is only known to be right once {@link #read} returns.
 */
public final class SnapshotReader {
    private static final int MAGIC_BYTES = 9;
    private static final Pattern MAGIC = Pattern.compile("(?:REDIS(\\d{4})|VALKEY(\\d{3}))");
    private static final Pattern LIBRARY_NAME = Pattern.compile("^#!\\S+.*?\\bname=(\\S+)");

    /** No snapshot is longer: an exabyte. */
    private static final long BYTES_MAX = 1L << 60;

    /** For messages. */
    static final String ATTACHED = "what a module attached to the key";

    private static final byte[] NO_KEY = new byte[0];

    /** In place of what a snapshot does not say of its source. */
    private static final ServerVersion OLDEST = new ServerVersion(Product.REDIS, 0, 0, 0);

    private final RdbInput in;
    private final ValueTarget target;
    private final SnapshotSink sink;
    private final RdbLimits limits;
    private final Map<String, String> facts = new LinkedHashMap<>();
    private Product product = Product.REDIS;
    private int database;
    private long keys;

    /** {@code in} is read ahead; what lies behind the snapshot is given back by {@link #rest}. */
    public SnapshotReader(InputStream in, ValueTarget target, SnapshotSink sink) {
        this(in, target, sink, RdbLimits.DEFAULT);
    }

    /** As above, with other limits. */
    public SnapshotReader(InputStream in, ValueTarget target, SnapshotSink sink, RdbLimits limits) {
        this.in = new RdbInput(in, BYTES_MAX, "the snapshot");
        this.target = target;
        this.sink = sink;
        this.limits = limits;
    }

    /** How many bytes of it were read. */
    public long bytes() {
        return in.offset();
    }

    /** How many keys of it were read. */
    public long keys() {
        return keys;
    }

    /** What was read from the stream and lies behind the snapshot; of use once {@link #read} has returned. */
    public byte[] rest() {
        return in.rest();
    }

    /**
     * Reads all of it, from the magic to the checksum.
     *
     * @throws RdbFormatException where it is not a snapshot as servers write it, or its bytes are not those that were written
     * @throws java.io.EOFException where it ends too early
     * @throws IOException of the stream, or of the sink
     */
    public void read() throws IOException {
        magic();
        int opcode = facts();
        // Valkey 8 writes the same magic as Redis, and says itself who it is.
        if (facts.containsKey("valkey-ver")) {
            product = Product.VALKEY;
        }
        sink.source(Collections.unmodifiableMap(facts));
        keys(opcode, new ValueReader(in, source(), target, sink, limits));
        checksum();
    }

    private void magic() throws IOException {
        String magic = new String(in.bytes(MAGIC_BYTES), ISO_8859_1);
        Matcher matcher = MAGIC.matcher(magic);
        if (!matcher.matches()) {
            throw in.malformed("this is no snapshot: it begins with \"" + magic + "\"");
        }
        boolean valkey = matcher.group(1) == null;
        product = valkey ? Product.VALKEY : Product.REDIS;
        int version = Integer.parseInt(valkey ? matcher.group(2) : matcher.group(1));
        boolean known = valkey
                ? version >= RdbTypes.VALKEY_VERSION_MIN && version <= RdbTypes.VALKEY_VERSION_MAX
                : version >= RdbTypes.REDIS_VERSION_MIN && version <= RdbTypes.REDIS_VERSION_MAX;
        if (!known) {
            throw in.malformed("a snapshot of the form " + magic + ", which is not known here");
        }
    }

    private ServerVersion source() {
        String said = facts.getOrDefault(product == Product.VALKEY ? "valkey-ver" : "redis-ver", "");
        try {
            return ServerVersion.parse(product, said);
        } catch (FleetException e) {
            return new ServerVersion(product, OLDEST.major(), OLDEST.minor(), OLDEST.patch());
        }
    }

    /** What stands before everything else; the first opcode of another kind. */
    private int facts() throws IOException {
        while (true) {
            int opcode = in.unsignedByte();
            if (opcode != RdbTypes.OPCODE_AUX) {
                return opcode;
            }
            if (facts.size() == RdbLimits.FACTS_MAX) {
                throw in.malformed("a snapshot that says more than " + RdbLimits.FACTS_MAX + " things of itself");
            }
            String name = fact();
            facts.put(name, fact());
        }
    }

    private String fact() throws IOException {
        byte[] text = in.string();
        if (text.length > RdbLimits.FACT_BYTES_MAX) {
            throw in.malformed("a fact of " + text.length + " bytes; the limit is " + RdbLimits.FACT_BYTES_MAX);
        }
        return new String(text, UTF_8);
    }

    private void keys(int firstOpcode, ValueReader values) throws IOException {
        ValueWalk walk = new ValueWalk(in, product);
        Attributes attributes = Attributes.NONE;
        boolean attached = false;
        int opcode = firstOpcode;
        while (opcode != RdbTypes.OPCODE_EOF) {
            switch (opcode) {
                case RdbTypes.OPCODE_EXPIRETIME_MS -> attributes = attributes.expiring(in.littleEndian(8));
                case RdbTypes.OPCODE_EXPIRETIME -> attributes = attributes.expiring(1000L * (int) in.littleEndian(4));
                case RdbTypes.OPCODE_IDLE -> attributes = attributes.idle(in.length());
                case RdbTypes.OPCODE_FREQ -> attributes = attributes.used(in.unsignedByte());
                case RdbTypes.OPCODE_SELECTDB -> select();
                case RdbTypes.OPCODE_RESIZEDB -> lengths(2);
                case RdbTypes.OPCODE_SLOT_INFO -> lengths(3);
                case RdbTypes.OPCODE_AUX -> {
                    in.skipString();
                    in.skipString();
                }
                case RdbTypes.OPCODE_MODULE_AUX -> moduleData(walk);
                case RdbTypes.OPCODE_FUNCTION -> library();
                case RdbTypes.OPCODE_FUNCTION_BEFORE_RELEASE ->
                    throw in.malformed("a library of functions in the form of a release candidate of Redis 7.0");
                case RdbTypes.OPCODE_243 -> {
                    if (product == Product.VALKEY) {
                        slotImport();
                    } else {
                        keyMetadata(in, walk);
                        attached = true;
                    }
                }
                default -> {
                    if (opcode > RdbTypes.RATE_LIMIT) {
                        throw in.malformed("an opcode " + opcode + ", which is not known here");
                    }
                    byte @Nullable [] name = sink.rebuiltAs(database, in.string());
                    if (name == null) {
                        walk.skip(opcode);
                    } else {
                        values.read(opcode, database, name, attributes);
                        if (attached) {
                            sink.inexpressible(database, name, ATTACHED);
                        }
                    }
                    attached = false;
                    keys++;
                    attributes = Attributes.NONE;
                }
            }
            opcode = in.unsignedByte();
        }
    }

    private void select() throws IOException {
        long number = in.length();
        if (number > Integer.MAX_VALUE) {
            throw in.malformed("a database with the number " + number);
        }
        database = (int) number;
    }

    private void lengths(int count) throws IOException {
        for (int i = 0; i < count; i++) {
            in.length();
        }
    }

    private void moduleData(ValueWalk walk) throws IOException {
        String module = ValueReader.moduleName(in.number());
        if (in.length() != RdbTypes.MODULE_UNSIGNED) {
            throw in.malformed("data of the module " + module + " that does not begin as such");
        }
        in.length(); // before or behind the keys
        walk.moduleData();
        ofSnapshot("data that the module " + module + " keeps beside the keys");
    }

    private void library() throws IOException {
        byte[] code = in.string();
        if (target.knowsFunctions()) {
            sink.library(code);
            return;
        }
        Matcher name = LIBRARY_NAME.matcher(new String(code, ISO_8859_1));
        ofSnapshot("the library of functions " + (name.find() ? name.group(1) : "without a name") + ": "
                + target.version() + " knows no functions");
    }

    /** Of a cluster that is moving slots while its snapshot is made: of those that come in not all keys may be there. */
    private void slotImport() throws IOException {
        in.skipString();
        long ranges = in.length();
        for (long i = 0; i < ranges; i++) {
            lengths(2);
        }
        ofSnapshot("slots that the source is being given, whose keys may not all be there yet");
    }

    /** Steps over what modules attach to a key (Redis 8.6), which follows. */
    static void keyMetadata(RdbInput in, ValueWalk walk) throws IOException {
        int classes = in.unsignedByte();
        for (int i = 0; i < classes; i++) {
            in.littleEndian(4);
            walk.moduleData();
        }
    }

    private void ofSnapshot(String what) {
        sink.inexpressible(SnapshotSink.NO_DATABASE, NO_KEY, what);
    }

    private void checksum() throws IOException {
        long computed = in.checksum();
        long stored = in.littleEndian(8);
        // 0: its server has checksums switched off.
        if (stored != 0 && stored != computed) {
            throw in.malformed("the snapshot is damaged: its checksum is " + Long.toHexString(stored)
                    + ", its bytes give " + Long.toHexString(computed));
        }
    }
}
