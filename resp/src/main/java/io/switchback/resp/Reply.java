package io.switchback.resp;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.Arrays;
import java.util.List;

/** A decoded RESP2 reply, for the control plane. The data plane never decodes replies, it forwards their bytes. */
public sealed interface Reply {

    /** {@code +OK}. */
    record Simple(String text) implements Reply {}

    /** {@code -ERR ...}, without the minus. */
    record Failure(String message) implements Reply {
        /** The first word: {@code ERR}, {@code READONLY}, {@code NOAUTH}, ... */
        public String code() {
            int space = message.indexOf(' ');
            return space < 0 ? message : message.substring(0, space);
        }
    }

    /** {@code :42}. */
    record Int(long value) implements Reply {}

    /** {@code $3}: a binary-safe string. */
    record Bulk(byte[] bytes) implements Reply {
        @Override
        public boolean equals(Object other) {
            return other instanceof Bulk bulk && Arrays.equals(bytes, bulk.bytes);
        }

        @Override
        public int hashCode() {
            return Arrays.hashCode(bytes);
        }

        @Override
        public String toString() {
            return "Bulk[" + new String(bytes, UTF_8) + "]";
        }
    }

    /** {@code $-1} and {@code *-1}. */
    record Nil() implements Reply {}

    /** {@code *2}: elements may be of any kind. */
    record Array(List<Reply> elements) implements Reply {
        public Array {
            elements = List.copyOf(elements);
        }
    }

    /** The text of a simple, bulk, integer or error reply; "" for nil; the elements in brackets for an array. */
    default String text() {
        return switch (this) {
            case Simple(String text) -> text;
            case Failure(String message) -> message;
            case Int(long value) -> Long.toString(value);
            case Bulk(byte[] bytes) -> new String(bytes, UTF_8);
            case Nil() -> "";
            case Array(List<Reply> elements) ->
                elements.stream().map(Reply::text).toList().toString();
        };
    }

    /** Whether the server refused. */
    default boolean isError() {
        return this instanceof Failure;
    }
}
