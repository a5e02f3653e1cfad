package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.proxy.SessionCommands.Verdict;
import java.util.Comparator;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * CLIENT TRACKINGINFO and GETREDIR of a client that redirects: the servers' own answers name connections of the proxy's. Of a cluster every shard is asked, since only those that had something to
 * invalidate since know that the target is gone.
 */
final class TrackingInfo extends ScatteredOperation {
    private final Redirect redirect;
    private final byte[][] command;

    private TrackingInfo(ClientSession session, Redirect redirect, byte[][] command) {
        super(session, true);
        this.redirect = redirect;
        this.command = command;
    }

    static Verdict judge(ClientSession session, byte[][] command) {
        Redirect redirect = session.tracking.redirect();
        return redirect == null || command.length != 2
                ? SessionCommands.send()
                : new SessionCommands.Perform(new TrackingInfo(session, redirect, command));
    }

    @Override
    List<Piece> pieces() {
        return eachShard(command);
    }

    @Override
    @Nullable
    ByteBuf joined(List<ByteBuf> replies) {
        ByteBuf error = JoinedReplies.error(replies);
        if (error != null) {
            return error;
        }
        // They differ in their ids, and in the flag that says so.
        ByteBuf most = replies.stream()
                .max(Comparator.comparingInt(ByteBuf::readableBytes))
                .orElseThrow();
        boolean isId = most.getByte(most.readerIndex()) == ':';
        return isId ? Wire.number(redirect.targetId()) : redirect.withTargetId(most);
    }
}
