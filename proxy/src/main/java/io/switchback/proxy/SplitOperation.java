package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.resp.CommandRule;
import io.switchback.resp.KeySlot;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * MGET, MSET, DEL, UNLINK, EXISTS, TOUCH with keys of several slots: one command for each slot, and one reply out of theirs. It is not atomic: where one fails
 * the others have been run, and the client gets the first error, in the order of its keys.
 */
final class SplitOperation extends ScatteredOperation {
    private final CommandRule rule;
    private final byte[][] command;
    /** Of each key: which piece it is in. */
    private final int[] pieceOfKey;

    private final List<Piece> pieces;

    SplitOperation(ClientSession session, CommandRule rule, byte[][] command) {
        super(session, rule.repeatable());
        this.rule = rule;
        this.command = command;
        int step = rule.name().equals("mset") ? 2 : 1;
        pieceOfKey = new int[(command.length - 1) / step];
        Map<Integer, Integer> pieceOfSlot = new LinkedHashMap<>();
        List<List<byte[]>> words = new ArrayList<>();
        for (int key = 0; key < pieceOfKey.length; key++) {
            int at = 1 + key * step;
            int piece = pieceOfSlot.computeIfAbsent(KeySlot.of(command[at]), slot -> {
                words.add(new ArrayList<>(List.of(command[0])));
                return words.size() - 1;
            });
            pieceOfKey[key] = piece;
            words.get(piece).addAll(List.of(command).subList(at, at + step));
        }
        List<Integer> slots = List.copyOf(pieceOfSlot.keySet());
        pieces = new ArrayList<>();
        for (int i = 0; i < words.size(); i++) {
            pieces.add(piece(slots.get(i), words.get(i).toArray(byte[][]::new)));
        }
    }

    /** Without the last word, MSET has a key without a value, which a server has to say. */
    static boolean canSplit(CommandRule rule, byte[][] command) {
        return !rule.name().equals("mset") || command.length % 2 == 1;
    }

    @Override
    List<Piece> pieces() {
        return pieces;
    }

    @Override
    boolean stands() {
        return true;
    }

    @Override
    ByteBuf joined(List<ByteBuf> replies) {
        return switch (rule.name()) {
            case "mset" -> JoinedReplies.first(replies);
            case "mget" -> inOrder(replies);
            default -> JoinedReplies.sum(replies);
        };
    }

    private ByteBuf inOrder(List<ByteBuf> replies) {
        ByteBuf error = JoinedReplies.error(replies);
        if (error != null) {
            return error;
        }
        List<List<ByteBuf>> elements =
                replies.stream().map(JoinedReplies::elements).toList();
        int[] taken = new int[elements.size()];
        List<ByteBuf> values = new ArrayList<>();
        for (int piece : pieceOfKey) {
            int at = taken[piece]++;
            if (at >= elements.get(piece).size()) {
                return Wire.error("ERR switchback: a shard has answered fewer values than it was asked for");
            }
            values.add(elements.get(piece).get(at));
        }
        return JoinedReplies.array(values);
    }

    @Override
    public String toString() {
        return rule.name() + " of " + (command.length - 1) + " words in " + pieces.size() + " pieces";
    }
}
