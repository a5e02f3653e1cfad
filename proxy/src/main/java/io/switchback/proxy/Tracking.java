package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.fleet.Endpoint;
import io.switchback.resp.Protocol;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * What a client has asked of server-assisted client-side caching (CLIENT TRACKING), to ask for it again on another connection. Owned by
 * the session's event loop. Source: https://redis.io/docs/latest/develop/reference/client-side-caching/.
 *
 * <p>The server remembers by connection what a client has read. With the connection that is gone; the client, or the one that it redirects
 * to, is then told to forget everything, as by FLUSHALL, before its next command is sent.
 */
final class Tracking {
    /** Each may add prefixes; nobody needs so many. */
    static final int COMMANDS_MAX = 64;

    /** What a word of a command takes beside its bytes, about. */
    private static final int WORD_BYTES = 32;

    private static final byte[] REDIRECT = "REDIRECT".getBytes(StandardCharsets.US_ASCII);

    private final ClientSession session;
    /** Without REDIRECT, of which only the last one's counts. */
    private final List<byte[][]> commands = new ArrayList<>(0);
    /** CLIENT CACHING, said of the next command, which has not been sent. */
    private byte @Nullable [][] ofNext;
    /** The session's own connection has been asked. */
    private boolean placed;
    /** The own connection has been asked for what is not so any more. */
    private boolean mustLeave;

    private @Nullable Redirect redirect;
    /** Has been asked for and not been granted yet. */
    private @Nullable Redirect wanted;
    /** To whom nothing is redirected any more, but something may still come that was. */
    private Set<Redirect> ending = Set.of();

    Tracking(ClientSession session) {
        this.session = session;
    }

    boolean isOn() {
        return !commands.isEmpty();
    }

    boolean isFull() {
        return commands.size() >= COMMANDS_MAX;
    }

    /** Whether what is kept would be more than may be, with this. */
    boolean isTooLong(byte[][] next) {
        long bytes = bytes(next);
        for (byte[][] command : commands) {
            bytes += bytes(command);
        }
        return bytes > session.loop().limits().trackingBytesMax();
    }

    private static long bytes(byte[][] command) {
        long bytes = 0;
        for (byte[] word : command) {
            bytes += WORD_BYTES + word.length;
        }
        return bytes;
    }

    @Nullable
    Redirect redirect() {
        return redirect;
    }

    /** As in CLIENT LIST: to whom invalidations go, 0 for the client itself, -1 where it does not track. */
    long shownTarget() {
        Redirect now = redirect;
        return now != null ? now.targetId() : isOn() ? 0 : -1;
    }

    /** It is being asked for; null where that has come to an end. */
    void wants(@Nullable Redirect next) {
        Redirect unused = wanted;
        wanted = next;
        if (unused != null && unused != redirect && unused != next) {
            end(unused);
        }
    }

    private void end(@Nullable Redirect former) {
        if (former != null) {
            if (ending.isEmpty()) {
                ending = new HashSet<>(1);
            }
            ending.add(former);
            former.end();
        }
    }

    /** Nothing comes any more for that one. */
    void ended(Redirect former) {
        if (!ending.isEmpty()) {
            ending.remove(former);
        }
    }

    /** It was asked for, without REDIRECT or with what is wanted, and granted. */
    void on(byte[][] command) {
        onAtShards(command);
        askedAgain();
    }

    /** Likewise, by the shards of a cluster. */
    void onAtShards(byte[][] command) {
        Redirect former = redirect;
        redirect = wanted;
        wanted = null;
        end(former);
        commands.add(command);
    }

    /** The own connection has been asked, and has granted all. */
    void askedAgain() {
        placed = redirect == null || redirect.isPlaced(null);
        mustLeave = !placed;
    }

    void off() {
        commands.clear();
        ofNext = null;
        placed = false;
        mustLeave = false;
        Redirect former = redirect;
        redirect = null;
        end(former);
        wants(null);
        session.shardTracking.off();
    }

    /** Whether one of the options that count now is this. */
    boolean hasSaid(String option) {
        for (byte[][] command : commands) {
            for (int i = 3; i < command.length; i++) {
                String word = SessionCommands.word(command, i);
                if (word.equals("PREFIX")) {
                    i++;
                } else if (word.equals(option)) {
                    return true;
                }
            }
        }
        return false;
    }

    /** CLIENT CACHING that was said of the command that is being sent; null where nothing was. */
    @Nullable
    ByteBuf takeOfNext() {
        byte[][] next = ofNext;
        ofNext = null;
        return next == null ? null : Wire.command(next);
    }

    boolean isSaidOfNext() {
        return ofNext != null;
    }

    void ofNext(byte[][] command) {
        ofNext = command;
    }

    void nextIsSent() {
        ofNext = null;
    }

    /** Whoever it redirects to is to forget everything, and has not been told: what this client is answered next may be newer. */
    boolean isForgetting() {
        Redirect to = redirect;
        return to != null && (to.isForgetting() || session.shardTracking.isForgetting());
    }

    // --- on another connection

    boolean mustBeAsked() {
        return isOn() && !placed;
    }

    /** The own connection, once everything may be asked for over it. The session must be quiet. */
    @Nullable
    BackendConnection connection() {
        if (mustLeave) {
            mustLeave = false;
            session.leaveForAnother();
        }
        BackendConnection own = session.own().get();
        Redirect to = redirect;
        return own != null && (to == null || (!to.isForgetting() && to.isReady(null))) ? own : null;
    }

    /** Why it will not come; said once. */
    @Nullable
    String takeFailure() {
        String failure = session.own().takeFailure();
        return failure == null && redirect != null ? redirect.takeFailure(null) : failure;
    }

    int count() {
        return commands.size() + (ofNext == null ? 0 : 1);
    }

    /** How many times CLIENT TRACKING was said that still count. */
    int commands() {
        return commands.size();
    }

    /** All of it, for another connection. */
    ByteBuf again() {
        ByteBuf all = again(null);
        byte[][] next = ofNext;
        if (next != null) {
            add(all, next);
        }
        return all;
    }

    /** All of it but what was said of the next command; for that server of a cluster. */
    ByteBuf again(@Nullable Endpoint server) {
        ByteBuf all = Unpooled.buffer();
        for (byte[][] command : commands) {
            add(all, redirect == null ? command : with(redirect.serverId(server), command));
        }
        return all;
    }

    private static void add(ByteBuf all, byte[][] command) {
        ByteBuf one = Wire.command(command);
        all.writeBytes(one);
        one.release();
    }

    private static byte[][] with(byte[] id, byte[][] command) {
        byte[][] longer = Arrays.copyOf(command, command.length + 2);
        longer[command.length] = REDIRECT;
        longer[command.length + 1] = id;
        return longer;
    }

    /** The own connection is gone, or the route is another one. */
    void connectionsGone() {
        boolean wasPlaced = placed;
        placed = false;
        mustLeave = false;
        companionsGone(null);
        if (wasPlaced) {
            forgetEverything();
        }
    }

    private void forgetEverything() {
        Redirect to = redirect;
        if (to != null) {
            to.forgetEverything();
        } else {
            session.invalidated(forgetEverything(Protocol.RESP3), false);
        }
    }

    // --- the companions of a client that redirects

    /** Those beside the connection to that server of a cluster, or beside the own one, are to be had anew. */
    void companionsGone(@Nullable Endpoint server) {
        if (wanted != null) {
            wanted.connectionGone(server);
        }
        Redirect to = redirect;
        if (to != null) {
            to.connectionGone(server);
        }
    }

    boolean isCompanion(BackendConnection connection) {
        return over(connection) != null;
    }

    /** Whose companion it is. */
    private @Nullable Redirect over(BackendConnection connection) {
        if (redirect != null && redirect.isOver(connection)) {
            return redirect;
        }
        if (wanted != null && wanted.isOver(connection)) {
            return wanted; // invalidations may come before the answer to what was asked
        }
        for (Redirect former : ending) {
            if (former.isOver(connection)) {
                return former;
            }
        }
        return null;
    }

    boolean isPlacedOver(Redirect which) {
        return placed && redirect == which;
    }

    /** Whether it has come over a companion. The buffer is the caller's. */
    boolean receive(BackendConnection from, ByteBuf in, int index, int length, boolean ends) {
        Redirect to = over(from);
        if (to != null) {
            to.receive(from, in, index, length, ends);
        }
        return to != null;
    }

    /** Whether it was the companion by which this client tracked, in front of no cluster. */
    boolean companionClosed(BackendConnection connection) {
        Redirect to = over(connection);
        if (to == null || (to != redirect && to != wanted)) {
            return false;
        }
        Endpoint server = to.serverOf(connection);
        to.connectionGone(server);
        if (server != null) {
            session.shardTracking.companionGone(to, server);
            return false;
        }
        if (to == wanted) {
            to.failed("the server closed it");
            return false;
        }
        boolean wasPlaced = placed;
        placed = false;
        mustLeave |= wasPlaced; // the server goes on naming what is not there
        if (wasPlaced) {
            to.forgetEverything();
        }
        return wasPlaced;
    }

    // --- what comes over the own connection

    /** What is no reply, nor published. Takes the bytes over. */
    void received(PushMessage message, ByteBuf bytes) {
        Redirect to = redirect;
        if (message.kind().equals("invalidate")) {
            session.invalidated(bytes, to != null && to.isToItself());
        } else if (session.identity.protocol() == Protocol.RESP2) {
            bytes.release(); // the own connection speaks RESP3 for the sake of what is published
        } else if (to != null && message.kind().equals("tracking-redir-broken")) {
            session.push(to.withTargetId(bytes));
            bytes.release();
        } else {
            session.push(bytes);
        }
    }

    /** The push message by which a client forgets everything; its payload is the nil of the protocol of the client that tracks. */
    static ByteBuf forgetEverything(Protocol protocol) {
        return Unpooled.copiedBuffer(
                ">2\r\n$10\r\ninvalidate\r\n" + (protocol == Protocol.RESP3 ? "_\r\n" : "$-1\r\n"),
                StandardCharsets.US_ASCII);
    }
}
