package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.netty.buffer.ByteBuf;
import io.switchback.fleet.Endpoint;
import io.switchback.proxy.SessionCommands.Perform;
import io.switchback.proxy.SessionCommands.Refuse;
import io.switchback.proxy.SessionCommands.Verdict;
import io.switchback.resp.CommandRule;
import io.switchback.resp.Protocol;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * What a client is told that asks sentinels who the primary is: this node, whatever stands behind it, under the cache's name and under those that the sentinels of its fleets know
 * ({@link ProxySettings#primaryNames}). So a list of sentinels becomes a list of nodes, and nothing else changes at the client. The other nodes that are {@link
 * CacheProxy#present presented} are the other sentinels: each of them says that it is the primary itself, and serves, so a client that goes on at another one is right there. There are
 * no replicas, and nobody announces a change, since none is to be noticed.
 *
 * <p>Told to everybody who is connected, as by sentinels: the client has the address already. Source: https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/.
 */
final class SentinelAnswer {
    private static final String UNKNOWN = "ERR No such master with that name";

    private final ClientSession session;
    private final Protocol protocol;

    private SentinelAnswer(ClientSession session) {
        this.session = session;
        this.protocol = session.identity.protocol();
    }

    static Verdict judge(ClientSession session, CommandRule rule, byte[][] command) {
        int wanted = switch (rule.name()) {
            case "sentinel|masters", "sentinel|primaries", "sentinel|myid" -> 2;
            default -> 3;
        };
        if (command.length != wanted) {
            return new Refuse("ERR wrong number of arguments for '" + rule.name() + "' command");
        }
        String primary =
                wanted == 3 ? Wire.text(command[2]) : session.loop().settings().cache();
        return new Perform(LocalOperation.forAnybody(
                session, () -> session.reply(new SentinelAnswer(session).to(rule.name(), primary))));
    }

    private ByteBuf to(String name, String primary) {
        if (!session.loop().settings().primaryNames().contains(primary)) {
            return name.endsWith("-addr-by-name") ? Wire.nilArray(protocol) : Wire.error(UNKNOWN);
        }
        Endpoint self = session.announcedAddress();
        return switch (name) {
            case "sentinel|get-master-addr-by-name", "sentinel|get-primary-addr-by-name" ->
                ClusterAnswer.bytes(
                        "*2\r\n" + ClusterAnswer.bulk(self.host()) + ClusterAnswer.bulk(Integer.toString(self.port())));
            case "sentinel|master", "sentinel|primary" -> ClusterAnswer.bytes(primary(primary, self));
            case "sentinel|masters", "sentinel|primaries" ->
                ClusterAnswer.bytes(list(session.loop().settings().primaryNames().stream()
                        .map(one -> primary(one, self))
                        .toList()));
            case "sentinel|replicas", "sentinel|slaves" -> ClusterAnswer.bytes(list(List.of()));
            case "sentinel|sentinels" ->
                ClusterAnswer.bytes(list(session.loop().otherNodes().stream()
                        .map(one -> shown(fields(one.name(), one.address(), "sentinel")))
                        .toList()));
            case "sentinel|myid" ->
                Wire.bulk(runId(session.loop().settings().node()).getBytes(UTF_8));
            case "sentinel|ckquorum" ->
                Wire.status("OK " + (session.loop().otherNodes().size() + 1)
                        + " usable Sentinels. Quorum and failover authorization can be reached");
            default -> throw new AssertionError("no answer to " + name);
        };
    }

    private String primary(String name, Endpoint self) {
        Map<String, String> fields = fields(name, self, "master");
        fields.put("role-reported", "master");
        fields.put("config-epoch", "0");
        fields.put("num-slaves", "0");
        fields.put(
                "num-other-sentinels",
                Integer.toString(session.loop().otherNodes().size()));
        fields.put("quorum", "1");
        return shown(fields);
    }

    /** As a sentinel describes one of those that it knows, of which it has just heard. */
    private Map<String, String> fields(String name, Endpoint address, String flags) {
        Map<String, String> fields = new LinkedHashMap<>();
        fields.put("name", name);
        fields.put("ip", address.host());
        fields.put("port", Integer.toString(address.port()));
        fields.put("runid", runId(name));
        fields.put("flags", flags);
        fields.put("link-pending-commands", "0");
        fields.put("last-ping-sent", "0");
        fields.put("last-ok-ping-reply", "0");
        fields.put("last-ping-reply", "0");
        return fields;
    }

    private String shown(Map<String, String> fields) {
        return ClusterAnswer.map(protocol, fields.size())
                + fields.entrySet().stream()
                        .map(field -> ClusterAnswer.bulk(field.getKey()) + ClusterAnswer.bulk(field.getValue()))
                        .collect(Collectors.joining());
    }

    private String runId(String name) {
        return ClusterAnswer.hash("sentinel " + session.loop().settings().cache() + ' ' + name);
    }

    private static String list(List<String> elements) {
        return "*" + elements.size() + "\r\n" + String.join("", elements);
    }
}
