package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.CommandKeys;
import io.switchback.resp.CommandRule;
import io.switchback.resp.CommandTable;
import io.switchback.resp.KeySlot;
import io.switchback.resp.Reply;
import io.switchback.testkit.Ports;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** The keys of a command are where every server says that they are, for whatever a client may send. */
class KeyPlacesTest {
    private static final int INVOCATIONS_MAX = 60;
    private static final long SEED = 11;

    /** Their channels have slots as keys have, but are none to COMMAND GETKEYS. */
    private static final Set<String> OF_CHANNELS = Set.of("spublish", "ssubscribe", "sunsubscribe");

    /** Redis 6.0 does not say that PFDEBUG has keys; two places to store at are two keys to some and one to others. */
    private static final Set<String> IN_DISPUTE = Set.of("pfdebug", "georadius", "georadiusbymember");

    @TestFactory
    List<DynamicTest> theKeysOfEveryCommandAreThoseOfEveryServer(@TempDir Path folder) {
        return ServerBinary.matrix().stream()
                .map(binary ->
                        DynamicTest.dynamicTest(binary.name(), () -> compare(binary, folder.resolve(binary.name()))))
                .toList();
    }

    private static void compare(ServerBinary binary, Path folder) {
        List<String> differences = new ArrayList<>();
        List<List<String>> notWhole = new ArrayList<>();
        int compared = 0;
        try (RealServer server = RealServer.start(binary, folder);
                RawClient client = new RawClient(ProxyFixture.endpoint(server))) {
            for (ServerManual.Command command : ServerManual.read(client)) {
                String name = command.words().getFirst();
                CommandRule rule = CommandTable.find(name);
                if (rule == null || OF_CHANNELS.contains(rule.name())) {
                    continue;
                }
                List<List<String>> invocations = CommandCorpus.of(command, "payload", SEED, INVOCATIONS_MAX);
                for (List<String> invocation : invocations) {
                    List<String> asked = new ArrayList<>(List.of("COMMAND", "GETKEYS"));
                    asked.addAll(invocation);
                    client.sendRaw(CommandEncoder.encode(CommandCorpus.bytes(asked)));
                }
                for (List<String> invocation : invocations) {
                    Reply reply = client.reply();
                    List<String> expected = reply.isError() ? List.of() : latin(reply);
                    List<String> found = keys(rule, CommandCorpus.bytes(invocation));
                    boolean isIncomplete = reply.isError() && !reply.text().contains("no key arguments");
                    if (isIncomplete) {
                        continue; // whoever gets it says what is wrong with it
                    }
                    compared++;
                    boolean isLessThanTheServers = !found.containsAll(expected);
                    boolean isMore = !expected.containsAll(found) && !IN_DISPUTE.contains(rule.name());
                    if (isMore || (isLessThanTheServers && !found.isEmpty())) {
                        differences.add(CommandCorpus.shown(invocation) + ": " + found + ", the server says " + reply);
                    } else if (isLessThanTheServers) {
                        notWhole.add(invocation);
                    }
                }
            }
            // Where Switchback finds none any server is sent the command, and redirects it if need be; each says that
            // it is wrong.
            for (List<String> invocation : notWhole) {
                client.sendRaw(CommandEncoder.encode(CommandCorpus.bytes(invocation)));
                Reply reply = client.reply();
                if (!reply.isError()) {
                    differences.add(CommandCorpus.shown(invocation) + " has keys that were not found: " + reply);
                }
            }
        }
        assertThat(differences).isEmpty();
        assertThat(compared).isGreaterThan(1_000);
    }

    private static List<String> latin(Reply reply) {
        return ServerManual.elements(reply).stream()
                .map(key -> key instanceof Reply.Bulk(byte[] bytes) ? new String(bytes, ISO_8859_1) : key.text())
                .toList();
    }

    private static List<String> keys(CommandRule rule, byte[][] command) {
        ByteBuf in = Unpooled.wrappedBuffer(CommandEncoder.encode(command));
        CommandKeys keys = new CommandKeys();
        int count = keys.find(in, 0, rule.keys());
        return IntStream.range(0, count)
                .mapToObj(i -> new String(keys.key(in, i), ISO_8859_1))
                .toList();
    }

    /** A server counts slots as Switchback does. */
    @Test
    void theSlotOfAKeyIsThatOfTheServer(@TempDir Path folder) {
        try (RealServer server =
                        ProxyFixture.server(folder, "--cluster-enabled", "yes", "--port", Integer.toString(port()));
                RawClient client = new RawClient(ProxyFixture.endpoint(server))) {
            List<String> keys = new ArrayList<>(CommandCorpus.KEYS);
            keys.addAll(List.of("{a}b", "a{b}c", "{}", "{}a", "a{", "}a{b}", "{{a}}", "{a}{b}", "{a", "a}b{c"));
            for (String key : keys) {
                byte[] bytes = key.getBytes(ISO_8859_1);
                client.sendRaw(CommandEncoder.encode(
                        new byte[][] {"CLUSTER".getBytes(ISO_8859_1), "KEYSLOT".getBytes(ISO_8859_1), bytes}));
                assertThat(client.reply()).as(key).isEqualTo(new Reply.Int(KeySlot.of(bytes)));
            }
        }
    }

    private static int port() {
        return Ports.freeWithBus();
    }
}
