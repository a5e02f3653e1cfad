package io.switchback.simulation;

import io.switchback.fleet.Token;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * One fleet: a server with a role, a history with an id and an offset, a token, and the connections of clients. What it holds is the
 * list of writes that it has applied, so that a loss or a repetition can be seen; an offset counts writes. What it holds survives
 * a restart, and so does its role (the role was made to last); its connections and the watches on them do not.
 */
final class SimServer {
    /** What a stream carries. */
    enum Kind {
        SET,
        INCREMENT,
        /** Of a key whose time is over, written by the primary itself, whenever it comes to look at it. */
        DELETE_EXPIRED,
        TOKEN
    }

    /** One write; {@code id} is unique. */
    record Item(Kind kind, long id, @Nullable Token token) {}

    /** What a change of role says: the offset at which it happened. */
    record Changed(long offset, String idAfter) {}

    /** A connection that watches the token. */
    final class TokenWatch {
        private final int run = SimServer.this.run;
        private boolean moved;

        /** One transaction, for as long as nobody has moved the token. */
        Changed follow(SimLink face, Token token) {
            demand(face.owner().name());
            return changeToReplica(face, token);
        }

        Changed promote(String who) {
            demand(who);
            return changeToPrimary(who);
        }

        private void demand(String who) {
            if (run != SimServer.this.run) {
                throw new Failure(Failure.Code.UNREACHABLE, name + " was restarted since it watched for " + who);
            }
            if (moved && !world.has(PlantedBug.NO_TOKEN_GUARD)) {
                throw new Failure(Failure.Code.REFUSED, "the token on " + name + " has moved");
            }
        }
    }

    private final World world;
    private final String name;
    private final long firstOffset;
    private final List<Item> items = new ArrayList<>();
    private final Set<Long> ids = new HashSet<>();
    private final List<TokenWatch> watches = new ArrayList<>();
    private boolean up = true;
    private int run;
    private int promotions;
    private boolean primary;
    private String id;
    private String secondId = "";
    private long secondOffset = -1;
    private @Nullable SimLink follows;
    /** Whose stream it takes: its connection to its primary is one, and a new one ends the one before. */
    private @Nullable SimLink streamOf;

    private @Nullable Token token;
    private long killedAt = -1;

    SimServer(World world, String name, long firstOffset) {
        this.world = world;
        this.name = name;
        this.firstOffset = firstOffset;
        this.id = name + "0";
    }

    String name() {
        return name;
    }

    boolean up() {
        return up;
    }

    int run() {
        return run;
    }

    boolean primary() {
        return primary;
    }

    String id() {
        return id;
    }

    String secondId() {
        return secondId;
    }

    long offset() {
        return firstOffset + items.size();
    }

    @Nullable
    SimLink follows() {
        return follows;
    }

    @Nullable
    Token token() {
        return token;
    }

    /** When connections of clients were killed here the last time. */
    long killedAt() {
        return killedAt;
    }

    void streamOf(SimLink link) {
        streamOf = link;
    }

    boolean takesStreamOf(SimLink link) {
        return streamOf == link;
    }

    boolean has(long write) {
        return ids.contains(write);
    }

    List<Item> items() {
        return items;
    }

    Item at(long offset) {
        return items.get((int) (offset - firstOffset - 1));
    }

    boolean knows(String history, long offset) {
        return offset >= firstOffset
                && offset <= offset()
                && (history.equals(id) || (history.equals(secondId) && offset <= secondOffset));
    }

    void begin(boolean asPrimary) {
        primary = asPrimary;
    }

    void begin(SimLink link) {
        follows = link;
    }

    void stop() {
        up = false;
        run++;
        watches.clear();
    }

    void start() {
        up = true;
    }

    void apply(Item item) {
        items.add(item);
        if (!ids.add(item.id())) {
            throw new LawBroken("L1: " + name + " has applied write " + item.id() + " twice");
        }
        if (item.token() != null) {
            tokenIs(item.token());
        }
    }

    private void tokenIs(Token next) {
        if (!next.equals(token)) {
            token = next;
            watches.forEach(watch -> watch.moved = true);
            watches.clear();
        }
    }

    // ---- what the code asks of a server; each is one transaction there

    /** Whether it has the token now; false where it is a replica and takes none. */
    boolean offerToken(Token offered) {
        if (offered.equals(token)) {
            return true;
        }
        guard(offered);
        if (!primary) {
            return false;
        }
        apply(new Item(Kind.TOKEN, world.nextWrite(), offered));
        world.trace(name, () -> "has the token " + offered);
        return true;
    }

    TokenWatch watch(Token expected) {
        guard(expected);
        if (!expected.equals(token) && !world.has(PlantedBug.NO_TOKEN_GUARD)) {
            throw new Failure(Failure.Code.REFUSED, "the token " + expected + " has not reached " + name);
        }
        TokenWatch watch = new TokenWatch();
        watches.add(watch);
        return watch;
    }

    Changed follow(SimLink face, Token by) {
        guard(by);
        return changeToReplica(face, by);
    }

    Changed promote(Token by) {
        guard(by);
        return changeToPrimary(by.owner());
    }

    void killClients() {
        killedAt = world.now();
        world.trace(name, () -> "kills the connections of clients");
    }

    private void guard(Token by) {
        Token present = token;
        if (present != null && by.isOlderThan(present) && !world.has(PlantedBug.NO_TOKEN_GUARD)) {
            throw new Failure(Failure.Code.REFUSED, name + " has the token " + present + ", newer than " + by);
        }
    }

    private Changed changeToReplica(SimLink face, Token by) {
        if (primary) {
            world.laws().fenced(this, by);
        }
        primary = false;
        follows = face;
        world.trace(name, () -> "follows " + face + ", offset " + offset());
        return new Changed(offset(), id);
    }

    private Changed changeToPrimary(String by) {
        if (!primary) {
            secondId = id;
            secondOffset = offset();
            id = name + ++promotions;
            primary = true;
            follows = null;
            streamOf = null;
            world.trace(name, () -> "becomes a primary, offset " + offset() + ", by " + by);
        }
        return new Changed(offset(), id);
    }
}
