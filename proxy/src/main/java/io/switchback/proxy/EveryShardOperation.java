package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.netty.buffer.ByteBuf;
import io.switchback.resp.CommandRule;
import io.switchback.resp.KeySlot;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** A command that is about all of a cluster: every primary is asked, and their replies are joined. */
final class EveryShardOperation extends ScatteredOperation {
    private final String name;
    private final byte[][] command;
    private final @Nullable ScriptCommand script;
    private int shards;

    /** {@code name} as the table has it, with the subcommand where that decides. */
    EveryShardOperation(ClientSession session, String name, CommandRule rule, byte[][] command) {
        super(session, rule.repeatable());
        this.name = name;
        this.command = command;
        this.script = ScriptCommand.of(rule, command);
    }

    static String name(CommandRule rule, byte[][] command) {
        int bar = rule.name().indexOf('|');
        boolean hasSubcommand = bar >= 0 || rule.placement() == CommandRule.Placement.BY_SUBCOMMAND;
        String container = bar < 0 ? rule.name() : rule.name().substring(0, bar);
        return hasSubcommand ? container + "|" + Wire.text(command[1]).toLowerCase(Locale.ROOT) : rule.name();
    }

    @Override
    List<Piece> pieces() {
        List<Piece> all = new ArrayList<>(eachShard(command));
        shards = all.size();
        if (name.equals("dbsize") && command.length == 1) {
            byte[][] reserved = session.loop().existsReserved();
            for (int i = 1; i < reserved.length; i++) {
                all.add(piece(KeySlot.of(reserved[i]), "EXISTS".getBytes(US_ASCII), reserved[i]));
            }
        }
        return all;
    }

    @Override
    @Nullable
    ByteBuf joined(List<ByteBuf> replies) {
        List<ByteBuf> ofShards = replies.subList(0, shards);
        return switch (name) {
            case "keys" -> JoinedReplies.concatenated(replies, false);
            case "pubsub|channels", "pubsub|shardchannels" -> JoinedReplies.concatenated(replies, true);
            case "pubsub|numsub", "pubsub|shardnumsub" -> JoinedReplies.numbers(replies, Long::sum);
            case "pubsub|numpat" -> JoinedReplies.sum(replies);
            case "script|exists" -> JoinedReplies.numbers(replies, Math::min);
            case "dbsize" -> size(ofShards, replies.subList(shards, replies.size()));
            default -> aboutScripts(JoinedReplies.first(replies));
        };
    }

    /** What was loaded, or flushed, everywhere is remembered, or forgotten. */
    private ByteBuf aboutScripts(ByteBuf reply) {
        ScriptCommand about = script;
        if (about != null) {
            about.receive(reply, reply.readerIndex(), reply.readableBytes());
            about.answered(session.loop());
        }
        return reply;
    }

    private static ByteBuf size(List<ByteBuf> ofShards, List<ByteBuf> reserved) {
        ByteBuf error = JoinedReplies.error(ofShards);
        if (error != null) {
            return error;
        }
        long size = 0;
        for (ByteBuf reply : ofShards) {
            size += JoinedReplies.number(reply);
        }
        for (ByteBuf reply : reserved) {
            size -= JoinedReplies.number(reply);
        }
        return Wire.number(size);
    }
}
