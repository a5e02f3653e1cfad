package io.switchback.sync;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.dialect.Dialect;
import io.switchback.fleet.dialect.StreamTranslator;
import io.switchback.resp.CommandEncoder;
import io.switchback.sync.source.WireInput;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The translated stream as bytes: what a relay that was killed sends again must be what it had sent. */
class StreamRewriterTest {
    private static final LinkBase BASE = new LinkBase("s".repeat(40), 5_000, "t".repeat(40), 70_000);

    @TempDir
    static Path folder;

    @SuppressWarnings("NullAway.Init")
    private static StreamTranslator translator;

    @BeforeAll
    static void readDialect() {
        try (RealServer server = RealServer.start(ServerBinary.embedded(), folder);
                ServerConnection connection = ServerConnection.open(
                        new Endpoint(server.host(), server.port()), Optional.empty(), Pair.LIMIT)) {
            Dialect dialect = Dialect.read(connection);
            translator = StreamTranslator.between(dialect, dialect);
        }
    }

    /** What one run has sent, with every point at which a target can stand and the marker that it has there. */
    private static final class Run {
        final ByteArrayOutputStream sent = new ByteArrayOutputStream();
        final List<Long> points = new ArrayList<>();
        final List<Optional<Marker>> markers = new ArrayList<>();

        @SuppressWarnings("NullAway.Init")
        StreamRewriter rewriter;
    }

    private static Run run(byte[] stream, Optional<Marker> from, long resumeAt) throws Exception {
        Run run = new Run();
        long start = from.map(Marker::source).orElse(BASE.sourceOffset());
        int skip = (int) (start - BASE.sourceOffset());
        WireInput input = new WireInput(new ByteArrayInputStream(stream, skip, stream.length - skip), 1 << 20);
        run.rewriter = new StreamRewriter(translator, "link", from, BASE, resumeAt, offset -> 0, run.sent::write);
        boolean inTransaction = false;
        Optional<Marker> marker = from;
        long before = 0;
        byte @Nullable [][] command = input.readCommand();
        while (command != null) {
            int sentBefore = run.sent.size();
            run.rewriter.next(command, (int) (input.consumed() - before), input::copyCommandTo);
            before = input.consumed();
            String name = command.length == 0 ? "" : new String(command[0], ISO_8859_1);
            inTransaction = name.equals("MULTI") || (inTransaction && !name.equals("EXEC"));
            String sent = run.sent.toString(ISO_8859_1).substring(sentBefore);
            int text = sent.indexOf("1 " + BASE.targetId());
            if (text >= 0) {
                marker = Marker.of(sent.substring(text, sent.indexOf('\r', text)), BASE);
                assertThat(marker).isPresent();
                assertThat(marker.get().source()).isEqualTo(run.rewriter.map().endSource());
                assertThat(marker.get().target()).isEqualTo(run.rewriter.map().endTarget());
            }
            if (!inTransaction) {
                run.points.add(run.rewriter.map().endTarget());
                run.markers.add(marker);
            }
            command = input.readCommand();
        }
        return run;
    }

    private static byte[] stream(long seed, int commands, boolean large) {
        Random random = new Random(seed);
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        add(out, "PING");
        add(out, "SELECT", "0");
        boolean inTransaction = false;
        for (int i = 0; i < commands; i++) {
            switch (random.nextInt(16)) {
                case 0 -> add(out, "SELECT", "" + random.nextInt(12));
                case 1 -> {
                    add(out, inTransaction ? "EXEC" : "MULTI");
                    inTransaction = !inTransaction;
                }
                case 2 -> add(out, "EXPIRE", "key", "" + (1 + random.nextInt(1000)));
                case 3 -> add(out, "SET", "k", "v", "EX", "" + (1 + random.nextInt(1000)));
                case 4 -> {
                    if (!inTransaction) {
                        out.write('\n');
                    }
                }
                case 5 -> {
                    switch (random.nextInt(12)) {
                        case 0 -> add(out, "FLUSHALL");
                        case 1 -> add(out, "FLUSHDB");
                        case 2 -> add(out, "SWAPDB", "0", "1");
                        default -> add(out, "REPLCONF", "GETACK", "*");
                    }
                }
                case 6 -> add(out, "SET", "large", "x".repeat(large ? 100_000 : 10));
                default -> add(out, "SET", "key" + i, "value" + i);
            }
        }
        if (inTransaction) {
            add(out, "EXEC");
        }
        return out.toByteArray();
    }

    private static void add(ByteArrayOutputStream out, String... command) {
        CommandEncoder.encode(out, CommandEncoder.bytes(command));
    }

    @Test
    void aDatabaseThatIsSwappedWithItselfTakesNoMarkerAlong() throws Exception {
        for (String other : List.of("0", "1")) {
            ByteArrayOutputStream stream = new ByteArrayOutputStream();
            add(stream, "SELECT", "0");
            add(stream, "SWAPDB", "0", other);
            String sent = run(stream.toByteArray(), Optional.empty(), BASE.targetOffset())
                    .sent
                    .toString(ISO_8859_1);
            assertThat(sent.contains("MULTI")).as(other).isEqualTo(other.equals("1"));
        }
    }

    @Test
    void aRelayThatStartsAgainAtAnyPointSendsExactlyWhatWasStillToCome() throws Exception {
        for (long seed = 1; seed <= 25; seed++) {
            byte[] stream = stream(seed, 120, seed % 5 == 0);
            Run whole = run(stream, Optional.empty(), BASE.targetOffset());
            byte[] sent = whole.sent.toByteArray();
            for (int i = 0; i < whole.points.size(); i++) {
                long point = whole.points.get(i);
                Run again = run(stream, whole.markers.get(i), point);
                // Times of expiry differ by what the clock has moved; lengths, and all else, may not.
                byte[] rest = again.sent.toByteArray();
                String as = "seed " + seed + ", point " + i;
                assertThat(rest.length).as(as).isEqualTo(sent.length - Math.toIntExact(point - BASE.targetOffset()));
                assertThat(again.rewriter.map().endTarget())
                        .as(as)
                        .isEqualTo(whole.rewriter.map().endTarget());
                assertThat(again.rewriter.map().endSource())
                        .as(as)
                        .isEqualTo(whole.rewriter.map().endSource());
                assertThat(withoutTimes(rest))
                        .as(as)
                        .isEqualTo(withoutTimes(sent).substring(sent.length - rest.length));
            }
        }
    }

    private static String withoutTimes(byte[] bytes) {
        return new String(bytes, ISO_8859_1).replaceAll("\\b1[789]\\d{11}\\b", "#############");
    }

    @Test
    void aTargetThatStandsWithinACommandIsNotBelieved() throws Exception {
        byte[] stream = stream(3, 60, false);
        Run whole = run(stream, Optional.empty(), BASE.targetOffset());
        int refused = 0;
        for (long at = BASE.targetOffset() + 1; at < whole.points.getLast(); at++) {
            int behind = java.util.Collections.binarySearch(whole.points, at);
            if (behind < 0) {
                int before = -behind - 2;
                Optional<Marker> marker = before < 0 ? Optional.empty() : whole.markers.get(before);
                try {
                    // Between a command and the marker behind it one can stand; and behind the last command nothing
                    // contradicts it yet. What is sent must be what was still to come.
                    String rest = withoutTimes(run(stream, marker, at).sent.toByteArray());
                    String sent = withoutTimes(whole.sent.toByteArray());
                    assertThat(rest).isIn("", sent.substring(Math.toIntExact(at - BASE.targetOffset())));
                } catch (BrokenLinkException e) {
                    refused++;
                }
            }
        }
        assertThat(refused).isGreaterThan(1000);
    }

    @Test
    void aMarkerThatIsGoneIsMissed() throws Exception {
        byte[] stream = stream(7, 60, false);
        Run whole = run(stream, Optional.empty(), BASE.targetOffset());
        assertThatThrownBy(() -> run(stream, Optional.empty(), whole.points.getLast()))
                .isInstanceOf(BrokenLinkException.class)
                .hasMessageContaining("marker");
    }

    @Test
    void aMarkerOfAnotherBaseSaysNothing() {
        Marker marker = new Marker(BASE, 6_000, 71_000, 3);
        assertThat(Marker.of(marker.text(), BASE)).contains(marker);
        assertThat(Marker.of(marker.text(), BASE.withSourceId("p".repeat(40)))).isPresent();
        LinkBase[] others = {
            new LinkBase(BASE.sourceId(), 5_000, "u".repeat(40), 70_000),
            new LinkBase(BASE.sourceId(), 5_001, BASE.targetId(), 70_000),
            new LinkBase(BASE.sourceId(), 5_000, BASE.targetId(), 70_001)
        };
        for (LinkBase other : others) {
            assertThat(Marker.of(marker.text(), other)).isEmpty();
        }
        assertThat(Marker.of(marker.text().substring(1), BASE)).isEmpty();
    }

    @Test
    void nothingIsSentOfACommandThatTheTargetCannotKnow() {
        ByteArrayOutputStream stream = new ByteArrayOutputStream();
        add(stream, "SELECT", "0");
        add(stream, "SET", "before", "1");
        add(stream, "NOSUCHCOMMAND", "key");
        ByteArrayOutputStream sent = new ByteArrayOutputStream();
        StreamRewriter rewriter = new StreamRewriter(
                translator, "link", Optional.empty(), BASE, BASE.targetOffset(), offset -> 0, sent::write);
        WireInput input = new WireInput(new ByteArrayInputStream(stream.toByteArray()), 1 << 20);
        assertThatThrownBy(() -> {
                    long before = 0;
                    byte @Nullable [][] command = input.readCommand();
                    while (command != null) {
                        rewriter.next(command, (int) (input.consumed() - before), input::copyCommandTo);
                        before = input.consumed();
                        command = input.readCommand();
                    }
                })
                .isInstanceOf(BrokenLinkException.class)
                .hasMessageContaining("NOSUCHCOMMAND");
        assertThat(sent.toString(ISO_8859_1)).contains("before").doesNotContain("NOSUCH");
        assertThat(rewriter.map().endTarget()).isEqualTo(BASE.targetOffset() + sent.size());
    }
}
