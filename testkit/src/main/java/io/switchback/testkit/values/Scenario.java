package io.switchback.testkit.values;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.Supplier;

/**
 * One line of write-commands.txt: commands that are run on a real source, to see what becomes of them elsewhere. All of them together hold every write command of every server that the
 * tests know, which {@code EveryCommandOnEveryServerTest} looks up in each server's own COMMAND.
 */
public record Scenario(int number, String text) {
    private static final String LIBRARY = "#!lua name=recorded\n"
            + "redis.register_function('recordedset', function(keys, args)"
            + " redis.call('set', keys[1], 'v', 'px', 1000000) return redis.call('incr', keys[1]..'n') end)";

    /** What a source itself makes of it. */
    public record Payloads(byte[] dump, Supplier<byte[]> functions) {}

    /** In the order of the file. */
    public static List<Scenario> all() {
        try (InputStream file = Objects.requireNonNull(Scenario.class.getResourceAsStream("write-commands.txt"))) {
            List<Scenario> scenarios = new ArrayList<>();
            for (String line :
                    new String(file.readAllBytes(), ISO_8859_1).lines().toList()) {
                if (!line.isBlank() && !line.startsWith("#")) {
                    scenarios.add(new Scenario(scenarios.size(), line));
                }
            }
            return scenarios;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** What all keys of this scenario begin with. */
    public String keyPrefix() {
        return "s" + number + ":";
    }

    /** One that begins with {@code &} blocks; {@code !SLEEP ms} is none, but a time to wait for. */
    public List<String> commands() {
        return List.of(text.split(" ; "));
    }

    /**
     * A command as it is sent.
     *
     * @param before what keys begin with, in front of {@link #keyPrefix}
     */
    public byte[][] words(String command, String before, long nowMs, Payloads payloads) {
        String[] texts = command.startsWith("&") ? command.substring(1).split(" ", -1) : command.split(" ", -1);
        byte[][] words = new byte[texts.length][];
        for (int i = 0; i < texts.length; i++) {
            words[i] = word(texts[i], before, nowMs, payloads);
        }
        return words;
    }

    private byte[] word(String word, String before, long nowMs, Payloads payloads) {
        if (word.equals("!DUMP")) {
            return payloads.dump();
        }
        if (word.equals("!FUNCDUMP")) {
            return payloads.functions().get();
        }
        if (word.startsWith("$") && word.length() == 2) {
            return bytes(before + keyPrefix() + word.substring(1));
        }
        if (word.equals("!LIB")) {
            return bytes(LIBRARY);
        }
        if (word.startsWith("@ms")) {
            return bytes(Long.toString(nowMs + Long.parseLong(word.substring(3))));
        }
        return word.startsWith("@s")
                ? bytes(Long.toString(nowMs / 1000 + Long.parseLong(word.substring(2))))
                : bytes(word);
    }

    private static byte[] bytes(String text) {
        return text.getBytes(ISO_8859_1);
    }
}
