package io.switchback.sync.rdb;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Writes down what a reader gives out, as text. */
final class Written implements SnapshotSink {
    final List<String> lines = new ArrayList<>();

    @Override
    public void source(Map<String, String> facts) {
        lines.add("source " + facts);
    }

    @Override
    public void command(int database, byte[] key, byte[][] words) {
        lines.add(Stream.of(words).map(word -> new String(word, ISO_8859_1)).collect(Collectors.joining(" ")));
    }

    @Override
    public void library(byte[] code) {
        lines.add("library " + new String(code, ISO_8859_1));
    }

    @Override
    public void inexpressible(int database, byte[] key, String what) {
        lines.add("not " + database + "/" + new String(key, ISO_8859_1) + ": " + what);
    }

    @Override
    public void fieldExpires(int database, byte[] key, byte[] field, long expiresAtMillis) {
        lines.add("field " + new String(field, ISO_8859_1) + " at " + expiresAtMillis);
    }
}
