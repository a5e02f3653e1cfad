package io.switchback.sync;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.sync.CarriedKeys.Rename;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/** Which keys are carried, by which names, and which renames are refused. */
class CarriedKeysTest {
    private static final long SEED = Long.getLong("switchback.keys.seed", 20_261_130L);
    private static final int PATTERNS = 3_000;
    private static final int SELECTIONS = 20_000;

    @TempDir
    Path folder;

    /** The server is the reference: its own KEYS. */
    @Test
    void aPatternMatchesWhatTheServerMatchesByIt() {
        Random random = new Random(SEED);
        try (RealServer server = RealServer.start(ServerBinary.any(), folder);
                Jedis client = server.client()) {
            List<String> names = new ArrayList<>();
            for (int i = 0; i < 400; i++) {
                // The empty name is matched by no pattern of several letters there, not even by **.
                names.add("ab".charAt(i % 2) + text(random, "ab-]^[\\*?z\u00ff", 6));
            }
            names.forEach(name -> client.set(name.getBytes(ISO_8859_1), new byte[] {1}));
            for (int i = 0; i < PATTERNS; i++) {
                String pattern = text(random, "aab-]^[[\\**??z", 8);
                Set<String> expected = new HashSet<>();
                client.keys(pattern.getBytes(UTF_8)).forEach(name -> expected.add(new String(name, ISO_8859_1)));
                KeyPattern ours = new KeyPattern(pattern);
                Set<String> found = new HashSet<>(names.stream()
                        .filter(name -> ours.matches(name.getBytes(ISO_8859_1)))
                        .toList());
                Set<String> differ = new HashSet<>(found);
                differ.addAll(expected);
                differ.removeIf(name -> found.contains(name) && expected.contains(name));
                assertThat(differ).as("seed %s, pattern %s", SEED, pattern).isEmpty();
            }
        }
    }

    /** Whatever is not refused keeps every two keys apart, and leads back. */
    @Test
    void noTwoKeysMeetAndEachNameLeadsBack() {
        Random random = new Random(SEED);
        List<byte[]> names = new ArrayList<>();
        all("", 5, names);
        int accepted = 0;
        for (int i = 0; i < SELECTIONS; i++) {
            List<String> only = texts(random, "ab*?", 4, 2);
            List<String> except = texts(random, "ab*", 4, 2);
            Map<String, Rename> renames = new HashMap<>();
            for (int rename = random.nextInt(3); rename >= 0; rename--) {
                String from = text(random, "ab", 3);
                renames.put(from, new Rename(from, text(random, "ab", 3)));
            }
            List<Rename> wanted = List.copyOf(renames.values());
            if (!CarriedKeys.conflicts(only, except, wanted).isEmpty()) {
                continue;
            }
            accepted++;
            CarriedKeys keys = new CarriedKeys(only, except, Set.of(0, 3), wanted);
            Map<String, String> oldNames = new HashMap<>();
            for (byte[] name : names) {
                byte[] there = keys.there().target(0, name);
                assertThat(keys.there().target(1, name)).isNull();
                assertThat(keys.there().mayCarry(name)).isEqualTo(there != null);
                if (there != null) {
                    String before = oldNames.put(new String(there, UTF_8), new String(name, UTF_8));
                    assertThat(before)
                            .as("seed %s, %s: also carried to %s", SEED, keys, new String(there, UTF_8))
                            .isNull();
                    assertThat(keys.there().source(3, there)).as("%s", keys).isEqualTo(name);
                    assertThat(keys.back().target(3, there)).isEqualTo(name);
                    assertThat(keys.back().source(0, name)).isEqualTo(there);
                }
            }
            for (byte[] name : names) {
                byte[] old = keys.there().source(0, name);
                if (old != null) {
                    assertThat(keys.there().target(0, old)).as("%s", keys).isEqualTo(name);
                }
            }
        }
        assertThat(accepted).isGreaterThan(1_000);
    }

    private static void all(String begun, int longest, List<byte[]> into) {
        into.add(begun.getBytes(UTF_8));
        if (begun.length() < longest) {
            all(begun + "a", longest, into);
            all(begun + "b", longest, into);
        }
    }

    private static String text(Random random, String letters, int longest) {
        StringBuilder text = new StringBuilder();
        for (int left = random.nextInt(longest + 1); left > 0; left--) {
            text.append(letters.charAt(random.nextInt(letters.length())));
        }
        return text.toString();
    }

    private static List<String> texts(Random random, String letters, int longest, int most) {
        List<String> texts = new ArrayList<>();
        for (int left = random.nextInt(most + 1); left > 0; left--) {
            texts.add(text(random, letters, longest) + "*");
        }
        return texts;
    }

    @Test
    void renamesThatCouldLetKeysMeetAreRefusedAndSayHowToKeepThemApart() {
        assertThat(refusal(List.of(), List.of(), rename("old:", "new:")))
                .contains("a key that begins with \"new:\" already could meet", "except: [\"new:*\"]");
        assertThat(refusal(List.of("*"), List.of("new:1*"), rename("old:", "new:")))
                .contains("could meet");
        assertThat(refusal(List.of("new:1"), List.of(), rename("old:", "new:"))).contains("could meet");
        assertThat(refusal(List.of("n*"), List.of(), rename("old:", "new:"))).contains("could meet");
        assertThat(refusal(List.of("a:*"), List.of(), rename("a:b:", "a:"))).contains("could meet");
        assertThat(refusal(List.of("a:*"), List.of(), rename("a:", "x:"), rename("a:b:", "y:")))
                .contains("\"a:b:\" would be renamed twice");
        assertThat(refusal(List.of("a:*", "b:*"), List.of(), rename("a:", "x:"), rename("b:", "x:1")))
                .contains("would both become keys that begin with \"x:1\"");
        assertThat(refusal(List.of("a:*"), List.of(), rename("a:", "switchback:reserved:")))
                .contains("Switchback's own");
        assertThatThrownBy(() -> new CarriedKeys(List.of(), List.of(), Set.of(), List.of(rename("old:", "new:"))))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void renamesThatKeepKeysApartAreTaken() {
        taken(List.of(), List.of("new:*"), rename("old:", "new:"));
        taken(List.of("old:*", "cart:*"), List.of(), rename("old:", "new:"));
        taken(List.of("old:*", "new:1"), List.of("new:?"), rename("old:", "new:"));
        taken(List.of(), List.of(), rename("", "app:"));
        taken(List.of("app:*"), List.of(), rename("app:", ""));
        taken(List.of(), List.of(), rename("a:", "b:"), rename("b:", "a:"));
        taken(List.of(), List.of(), rename("a:", "a:b:"));
    }

    /** Reserved keys are nobody's, nor does a key become one. */
    @Test
    void nothingIsCarriedToReservedNamesOrFromThem() {
        CarriedKeys keys = new CarriedKeys(List.of("x:*"), List.of(), Set.of(), List.of(rename("x:", "")));
        assertThat(keys.there().target(0, "x:switchback:reserved:token".getBytes(UTF_8)))
                .isNull();
        assertThat(keys.there().source(0, "switchback:reserved:token".getBytes(UTF_8)))
                .isNull();
        assertThat(CarriedKeys.Way.ALL.target(0, "switchback:reserved:token".getBytes(UTF_8)))
                .isNull();
        assertThat(keys.there().target(0, "x:switchback".getBytes(UTF_8))).isEqualTo("switchback".getBytes(UTF_8));
    }

    private static Rename rename(String from, String to) {
        return new Rename(from, to);
    }

    private static String refusal(List<String> only, List<String> except, Rename... renames) {
        return CarriedKeys.conflicts(only, except, Arrays.asList(renames))
                .values()
                .iterator()
                .next();
    }

    private static void taken(List<String> only, List<String> except, Rename... renames) {
        assertThat(CarriedKeys.conflicts(only, except, Arrays.asList(renames))).isEmpty();
    }
}
