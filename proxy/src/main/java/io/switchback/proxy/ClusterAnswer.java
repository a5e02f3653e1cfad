package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.fleet.Endpoint;
import io.switchback.proxy.SessionCommands.Perform;
import io.switchback.proxy.SessionCommands.Refuse;
import io.switchback.proxy.SessionCommands.Verdict;
import io.switchback.resp.CommandRule;
import io.switchback.resp.KeySlot;
import io.switchback.resp.Protocol;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * What a cluster client is told in front of a cluster: that it is one of a single node, the one that it is connected to, which has all slots. So it sends
 * everything here and is never redirected. Source: https://redis.io/docs/latest/commands/cluster-shards/ and its like.
 */
final class ClusterAnswer {
    private static final int BUS_PORT_OFFSET = 10_000;
    private static final int PORT_MAX = 65_535;

    private final Endpoint address;
    private final String id;
    private final Protocol protocol;

    private ClusterAnswer(ClientSession session) {
        address = session.announcedAddress();
        protocol = session.identity.protocol();
        id = hash("node " + session.loop().settings().cache() + ' '
                + session.loop().settings().node() + ' ' + address);
    }

    static Verdict judge(ClientSession session, CommandRule rule, byte[][] command) {
        int words = rule.name().indexOf('|') < 0 ? 1 : 2;
        int wanted = switch (rule.name()) {
            case "cluster|keyslot", "cluster|count-failure-reports", "cluster|replicas", "cluster|slaves" -> 1;
            default -> 0;
        };
        if (command.length != words + wanted) {
            return new Refuse("ERR wrong number of arguments for '" + rule.name() + "' command");
        }
        return new Perform(new LocalOperation(
                session, () -> session.reply(new ClusterAnswer(session).to(rule.name(), command))));
    }

    private ByteBuf to(String name, byte[][] command) {
        return switch (name) {
            case "cluster|slots" ->
                bytes("*1\r\n*3\r\n:0\r\n:" + (KeySlot.SLOTS - 1) + "\r\n*3\r\n" + bulk(address.host()) + ":"
                        + address.port() + "\r\n" + bulk(id));
            case "cluster|shards" -> bytes(shards());
            case "cluster|nodes" -> Wire.verbatim(protocol, line().getBytes(UTF_8));
            case "cluster|info" -> Wire.verbatim(protocol, info().getBytes(UTF_8));
            case "cluster|keyslot" -> Wire.number(KeySlot.of(command[2]));
            case "cluster|links" -> bytes("*0\r\n");
            case "cluster|myid" -> Wire.bulk(id.getBytes(UTF_8));
            case "cluster|myshardid" -> Wire.bulk(hash("shard " + id).getBytes(UTF_8));
            case "cluster|replicas", "cluster|slaves" -> isMyself(command) ? bytes("*0\r\n") : unknown(command);
            case "cluster|count-failure-reports" -> isMyself(command) ? Wire.number(0) : unknown(command);
            case "asking", "readonly", "readwrite" -> Wire.ok();
            default -> throw new AssertionError("no answer to " + name);
        };
    }

    private boolean isMyself(byte[][] command) {
        return Wire.text(command[2]).toLowerCase(Locale.ROOT).equals(id);
    }

    private static ByteBuf unknown(byte[][] command) {
        return Wire.error("ERR Unknown node " + Wire.text(command[2]));
    }

    private String line() {
        int bus = address.port() + BUS_PORT_OFFSET;
        return id + ' ' + address.host() + ':' + address.port() + '@' + (bus > PORT_MAX ? 0 : bus)
                + " myself,master - 0 0 1 connected 0-" + (KeySlot.SLOTS - 1) + '\n';
    }

    private static String info() {
        return "cluster_enabled:1\r\ncluster_state:ok\r\ncluster_slots_assigned:" + KeySlot.SLOTS
                + "\r\ncluster_slots_ok:"
                + KeySlot.SLOTS
                + "\r\ncluster_slots_pfail:0\r\ncluster_slots_fail:0\r\ncluster_known_nodes:1\r\ncluster_size:1\r\n"
                + "cluster_current_epoch:1\r\ncluster_my_epoch:1\r\ncluster_stats_messages_sent:0\r\n"
                + "cluster_stats_messages_received:0\r\n";
    }

    private String shards() {
        String node = bulk("id") + bulk(id) + bulk("port") + ":" + address.port() + "\r\n" + bulk("ip")
                + bulk(address.host()) + bulk("endpoint") + bulk(address.host()) + bulk("role") + bulk("master")
                + bulk("replication-offset") + ":0\r\n" + bulk("health") + bulk("online");
        return "*1\r\n" + map(2) + bulk("slots") + "*2\r\n:0\r\n:" + (KeySlot.SLOTS - 1) + "\r\n" + bulk("nodes")
                + "*1\r\n" + map(7) + node;
    }

    private String map(int entries) {
        return protocol == Protocol.RESP3 ? "%" + entries + "\r\n" : "*" + 2 * entries + "\r\n";
    }

    private static String bulk(String text) {
        return "$" + text.length() + "\r\n" + text + "\r\n";
    }

    private static ByteBuf bytes(String text) {
        return Unpooled.copiedBuffer(text, UTF_8);
    }

    /** 40 digits, as the ids of nodes have. */
    private static String hash(String text) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-1").digest(text.getBytes(UTF_8)));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java has SHA-1", e);
        }
    }

    /** CLUSTER COUNTKEYSINSLOT and GETKEYSINSLOT: who has the slot is asked. Null where the words are wrong, which any server says. */
    static @Nullable Verdict ofSlot(ClientSession session, byte[][] command) {
        if (command.length < 3 || !Wire.text(command[2]).matches("0|[1-9][0-9]{0,4}")) {
            return null;
        }
        int slot = Integer.parseInt(Wire.text(command[2]));
        return slot >= KeySlot.SLOTS ? null : new Perform(new OfSlot(session, slot, command));
    }

    private static final class OfSlot extends ScatteredOperation {
        private final int slot;
        private final byte[][] command;

        OfSlot(ClientSession session, int slot, byte[][] command) {
            super(session, true);
            this.slot = slot;
            this.command = command;
        }

        @Override
        List<Piece> pieces() {
            return List.of(piece(slot, command));
        }

        @Override
        ByteBuf joined(List<ByteBuf> replies) {
            return replies.getFirst().getByte(replies.getFirst().readerIndex()) == '*'
                    ? JoinedReplies.concatenated(replies, false)
                    : replies.getFirst().retainedDuplicate();
        }
    }
}
