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
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * What a cluster client is told in front of a cluster: that the nodes of Switchback are one, each with about as many slots, or the one that it is connected to alone
 * where no others are {@link CacheProxy#present presented}. Whichever of them gets a command, it is served, whatever the slot: so the client is never redirected, and what it is
 * told may be late or differ from node to node. Source: https://redis.io/docs/latest/commands/cluster-shards/ and its like.
 */
final class ClusterAnswer {
    private static final int BUS_PORT_OFFSET = 10_000;
    private static final int PORT_MAX = 65_535;

    /** One of the nodes, with its slots. */
    private record Node(String id, Endpoint address, boolean isMyself, int number, int firstSlot, int lastSlot) {
        String shardId() {
            return hash("shard " + id);
        }
    }

    private final String cache;
    private final List<Node> nodes = new ArrayList<>();
    private final Protocol protocol;

    private ClusterAnswer(ClientSession session) {
        cache = session.loop().settings().cache();
        protocol = session.identity.protocol();
        PresentedNode self = new PresentedNode(session.loop().settings().node(), session.announcedAddress());
        // By their names, so that one that was away has the same slots again.
        List<PresentedNode> all = Stream.concat(Stream.of(self), session.loop().otherNodes().stream())
                .sorted(Comparator.comparing(PresentedNode::name))
                .toList();
        for (int i = 0; i < all.size(); i++) {
            PresentedNode one = all.get(i);
            nodes.add(new Node(
                    hash("node " + cache + ' ' + one.name() + ' ' + one.address()),
                    one.address(),
                    one.name().equals(self.name()),
                    i + 1,
                    i * KeySlot.SLOTS / all.size(),
                    (i + 1) * KeySlot.SLOTS / all.size() - 1));
        }
    }

    private Node myself() {
        return nodes.stream().filter(Node::isMyself).findFirst().orElseThrow();
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
            case "cluster|slots" -> bytes(each(this::slots));
            case "cluster|shards" -> bytes(each(this::shard));
            case "cluster|nodes" ->
                Wire.verbatim(
                        protocol,
                        nodes.stream()
                                .map(this::line)
                                .collect(Collectors.joining())
                                .getBytes(UTF_8));
            case "cluster|info" -> Wire.verbatim(protocol, info().getBytes(UTF_8));
            case "cluster|keyslot" -> Wire.number(KeySlot.of(command[2]));
            case "cluster|links" -> bytes("*0\r\n");
            case "cluster|myid" -> Wire.bulk(myself().id().getBytes(UTF_8));
            case "cluster|myshardid" -> Wire.bulk(myself().shardId().getBytes(UTF_8));
            case "cluster|replicas", "cluster|slaves" -> isKnown(command) ? bytes("*0\r\n") : unknown(command);
            case "cluster|count-failure-reports" -> isKnown(command) ? Wire.number(0) : unknown(command);
            case "asking", "readonly", "readwrite" -> Wire.ok();
            default -> throw new AssertionError("no answer to " + name);
        };
    }

    private boolean isKnown(byte[][] command) {
        String asked = Wire.text(command[2]).toLowerCase(Locale.ROOT);
        return nodes.stream().anyMatch(node -> node.id().equals(asked));
    }

    private static ByteBuf unknown(byte[][] command) {
        return Wire.error("ERR Unknown node " + Wire.text(command[2]));
    }

    private String each(Function<Node, String> shown) {
        return "*" + nodes.size() + "\r\n" + nodes.stream().map(shown).collect(Collectors.joining());
    }

    private String slots(Node node) {
        return "*3\r\n:" + node.firstSlot() + "\r\n:" + node.lastSlot() + "\r\n*3\r\n"
                + bulk(node.address().host()) + ":" + node.address().port() + "\r\n" + bulk(node.id());
    }

    private String line(Node node) {
        Endpoint address = node.address();
        int bus = address.port() + BUS_PORT_OFFSET;
        return node.id() + ' ' + address.host() + ':' + address.port() + '@' + (bus > PORT_MAX ? 0 : bus)
                + (node.isMyself() ? " myself,master" : " master") + " - 0 0 " + node.number() + " connected "
                + node.firstSlot() + '-' + node.lastSlot() + '\n';
    }

    private String info() {
        return "cluster_enabled:1\r\ncluster_state:ok\r\ncluster_slots_assigned:" + KeySlot.SLOTS
                + "\r\ncluster_slots_ok:" + KeySlot.SLOTS
                + "\r\ncluster_slots_pfail:0\r\ncluster_slots_fail:0\r\ncluster_known_nodes:" + nodes.size()
                + "\r\ncluster_size:" + nodes.size() + "\r\ncluster_current_epoch:" + nodes.size()
                + "\r\ncluster_my_epoch:" + myself().number()
                + "\r\ncluster_stats_messages_sent:0\r\ncluster_stats_messages_received:0\r\n";
    }

    private String shard(Node node) {
        Endpoint address = node.address();
        String shown = bulk("id") + bulk(node.id()) + bulk("port") + ":" + address.port() + "\r\n" + bulk("ip")
                + bulk(address.host()) + bulk("endpoint") + bulk(address.host()) + bulk("role") + bulk("master")
                + bulk("replication-offset") + ":0\r\n" + bulk("health") + bulk("online");
        return map(protocol, 2) + bulk("slots") + "*2\r\n:" + node.firstSlot() + "\r\n:" + node.lastSlot() + "\r\n"
                + bulk("nodes") + "*1\r\n" + map(protocol, 7) + shown;
    }

    /** The beginning of a map; of as many names and values in RESP2. */
    static String map(Protocol protocol, int entries) {
        return protocol == Protocol.RESP3 ? "%" + entries + "\r\n" : "*" + 2 * entries + "\r\n";
    }

    static String bulk(String text) {
        return "$" + text.getBytes(UTF_8).length + "\r\n" + text + "\r\n";
    }

    static ByteBuf bytes(String text) {
        return Unpooled.copiedBuffer(text, UTF_8);
    }

    /** 40 digits, as the ids of nodes have. */
    static String hash(String text) {
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
