package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.resp.Reply;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** RANDOMKEY in front of a cluster: of one shard after the other, another one first each time, until one has a key that is a client's. */
final class RandomKeyOfAnyShard extends ScatteredOperation {
    /** As for a single server ({@link RandomKeyOperation}), of each shard. */
    private static final int ATTEMPTS_MAX = 64;

    private final byte[][] command;
    private int shard;
    private int shardsAsked;
    private int attempts;

    RandomKeyOfAnyShard(ClientSession session, byte[][] command) {
        super(session, true);
        this.command = command;
        this.shard = session.loop().nextShard();
    }

    @Override
    List<Piece> pieces() {
        shardsAsked = 0;
        return next();
    }

    private List<Piece> next() {
        List<Piece> all = eachShard(command);
        return List.of(all.get(Math.floorMod(shard, all.size())));
    }

    @Override
    @Nullable
    ByteBuf joined(List<ByteBuf> replies) {
        ByteBuf reply = replies.getFirst();
        boolean isNil = JoinedReplies.read(reply) instanceof Reply.Nil;
        if (AskingOperation.isError(reply) || (!isNil && KeysOperation.isVisible(JoinedReplies.read(reply)))) {
            return reply.retainedDuplicate();
        }
        attempts++;
        if (isNil || attempts >= ATTEMPTS_MAX) {
            attempts = 0;
            shard++;
            shardsAsked++;
            if (shardsAsked >= eachShard(command).size()) {
                return Wire.nilBulk(session.identity.protocol());
            }
        }
        askAlso(next());
        return null;
    }
}
