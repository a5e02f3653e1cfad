package io.switchback.fleet.dialect;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.ServerVersion;
import io.switchback.fleet.ServerVersion.Product;
import io.switchback.resp.CommandEncoder;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** Translations word for word, with times of the test's own; that they are right is shown on real servers. */
class StreamTranslatorTest {
    private long nowMs = 1_795_000_000_000L;

    /** A server of that version with every command of the table that it should have. */
    private static Dialect dialect(Product product, String version) {
        ServerVersion server = ServerVersion.parse(product, version);
        Map<String, CommandShape> shapes = new HashMap<>();
        for (Rule rule : CommandRules.ALL) {
            String name = rule.name().split(" ", 2)[0].toLowerCase(Locale.ROOT);
            if (rule.since().knows(server)) {
                boolean fixed =
                        !server.isAtLeast(6, 2) && List.of("lpop", "rpop").contains(name);
                shapes.put(name, new CommandShape(name, fixed ? 2 : -1, true, Map.of()));
            }
        }
        return new Dialect(server, ServerCommands.of(shapes), 16);
    }

    private StreamTranslator to60() {
        return StreamTranslator.between(dialect(Product.REDIS, "7.0.15"), dialect(Product.REDIS, "6.0.16"));
    }

    private String translated(StreamTranslator translator, String command, boolean inside) {
        return switch (translator.translate(CommandEncoder.bytes(command.split(" ", -1)), inside, () -> nowMs)) {
            case Translation.Unchanged() -> "=";
            case Translation.Impossible(String why) -> "!" + why;
            case Translation.Rewritten(List<byte[][]> commands) ->
                commands.stream()
                        .map(words -> Arrays.stream(words)
                                .map(word -> new String(word, ISO_8859_1))
                                .collect(Collectors.joining(" ")))
                        .collect(Collectors.joining("; "));
        };
    }

    @Test
    void severalCommandsComeInOneTransactionAndNeverInsideAnother() {
        assertThat(translated(to60(), "SET k v PXAT 1795000000500", false))
                .isEqualTo("MULTI; SET k v; PEXPIREAT k 1795000000500; EXEC");
        assertThat(translated(to60(), "SET k v PXAT 1795000000500", true))
                .isEqualTo("SET k v; PEXPIREAT k 1795000000500");
    }

    @Test
    void conditionsThatHeldAreLeftOut() {
        assertThat(translated(to60(), "PEXPIREAT k 1795000000500 GT", false)).isEqualTo("PEXPIREAT k 1795000000500");
        assertThat(translated(to60(), "SET k v KEEPTTL GET", false)).isEqualTo("SET k v KEEPTTL");
        assertThat(translated(to60(), "set k get", false)).isEqualTo("=");
        assertThat(translated(to60(), "XGROUP CREATE k g 0 MKSTREAM ENTRIESREAD 5", false))
                .isEqualTo("XGROUP CREATE k g 0 MKSTREAM");
    }

    @Test
    void aCommandOrWordThatTheTableDoesNotKnowNeverPasses() {
        assertThat(translated(to60(), "NEWCOMMAND k", false)).startsWith("!NEWCOMMAND");
        assertThat(translated(to60(), "NEWCOMMAND k", true)).startsWith("!NEWCOMMAND");
        assertThat(translated(to60(), "SET k v NEWOPTION", false)).contains("NEWOPTION");
        assertThat(translated(to60(), "ZUNIONSTORE d 1 k AGGREGATE NEWONE", false))
                .startsWith("!");
        assertThat(translated(to60(), "EVAL script 0", false)).contains("lua-replicate-commands");
        assertThat(translated(to60(), "SELECT 16", false)).contains("database 16");
        assertThat(translated(to60(), "SELECT 15", false)).isEqualTo("=");
    }

    @Test
    void relativeTimesCountFromWhenTheSourceRanTheCommand() {
        StreamTranslator from60 =
                StreamTranslator.between(dialect(Product.REDIS, "6.0.16"), dialect(Product.VALKEY, "9.1.2"));
        assertThat(from60.passesUntouched()).isFalse();
        assertThat(translated(from60, "SET k v EX 10", false)).isEqualTo("SET k v PXAT 1795000010000");
        assertThat(translated(from60, "set k v nx px 10", false)).isEqualTo("SET k v nx PXAT 1795000000010");
        assertThat(translated(from60, "SETEX k 10 v", false)).isEqualTo("SET k v PXAT 1795000010000");
        assertThat(translated(from60, "PSETEX k 10 v", false)).isEqualTo("SET k v PXAT 1795000000010");
        assertThat(translated(from60, "EXPIRE k 10", false)).isEqualTo("PEXPIREAT k 1795000010000");
        assertThat(translated(from60, "EXPIREAT k 1795000010", false)).isEqualTo("=");
        nowMs += 5;
        assertThat(translated(from60, "PEXPIRE k 10", false)).isEqualTo("PEXPIREAT k 1795000000015");
    }

    @Test
    void aLinkThatStartsAgainYearsLaterTranslatesToTheSameLengths() {
        StreamTranslator from60 =
                StreamTranslator.between(dialect(Product.REDIS, "6.0.16"), dialect(Product.REDIS, "6.0.16"));
        for (long seconds = 1; seconds < 100_000_000_000_000L; seconds = seconds * 3 + 1) {
            nowMs = 1_795_000_000_000L;
            String now = translated(from60, "EXPIRE k " + seconds, false);
            nowMs += Duration.ofDays(365 * 50).toMillis();
            assertThat(translated(from60, "EXPIRE k " + seconds, false)).hasSameSizeAs(now);
        }
        nowMs = 1_795_000_000_000L;
        String now = translated(from60, "PEXPIRE k 8204999999999", false); // the sum crosses 10^13 a moment later
        nowMs += 1000;
        assertThat(translated(from60, "PEXPIRE k 8204999999999", false)).hasSameSizeAs(now);
    }

    @Test
    void poppingSeveralIsTrimmingWherePopTakesNoCount() {
        assertThat(translated(to60(), "LPOP k 2", false)).isEqualTo("LTRIM k 2 -1");
        assertThat(translated(to60(), "RPOP k 2", false)).isEqualTo("LTRIM k 0 -3");
        assertThat(translated(to60(), "LPOP k", false)).isEqualTo("=");
    }

    @Test
    void aPayloadWhoseVersionOrTypeIsUnknownIsNotPassedOn() {
        byte[][] restore = CommandEncoder.bytes("RESTORE", "k", "0", "");
        restore[3] = new byte[] {17, 1, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8}; // a type of 7.0 in a form of 6.0
        assertThat(to60().translate(restore, false, () -> nowMs)).isInstanceOf(Translation.Impossible.class);
        restore[3] = new byte[] {7, 1, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8}; // a module's, which ended the process of a 6.0
        assertThat(to60().translate(restore, false, () -> nowMs)).isInstanceOf(Translation.Impossible.class);
        restore[3] = new byte[] {0, 1, 10, 0, 1, 2, 3, 4, 5, 6, 7, 8};
        assertThat(to60().translate(restore, false, () -> nowMs)).isInstanceOf(Translation.Impossible.class);
        restore[3] = new byte[] {0, 1, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8};
        assertThat(to60().translate(restore, false, () -> nowMs)).isInstanceOf(Translation.Unchanged.class);
    }
}
