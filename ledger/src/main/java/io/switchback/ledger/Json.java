package io.switchback.ledger;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.function.Function;

/** Values as JSON. Fields that a reader does not know are passed over: a newer version may have written them. */
final class Json {
    private static final ObjectMapper MAPPER =
            new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

    private Json() {}

    static ObjectNode object() {
        return MAPPER.createObjectNode();
    }

    /** @throws IllegalArgumentException if it is none */
    static JsonNode parse(byte[] json) {
        try {
            JsonNode tree = MAPPER.readTree(json);
            if (tree == null || tree.isMissingNode()) {
                throw new IllegalArgumentException("not JSON: nothing");
            }
            return tree;
        } catch (IOException e) {
            throw new IllegalArgumentException("not JSON: " + e.getMessage(), e);
        }
    }

    static byte[] bytes(JsonNode json) {
        try {
            return MAPPER.writeValueAsBytes(json);
        } catch (JsonProcessingException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The entry's value by {@code reading}; anything that it cannot make sense of is damage of the ledger. */
    static <T> T read(Entry entry, Function<JsonNode, T> reading) {
        try {
            return reading.apply(parse(entry.value()));
        } catch (RuntimeException e) {
            throw new LedgerException(
                    LedgerException.Code.DAMAGED,
                    "The entry " + entry.path() + " of the ledger (version " + entry.version()
                            + ") cannot be understood: " + e.getMessage()
                            + ". Was it written by a newer version of Switchback?",
                    e);
        }
    }

    /** A text field that must be there. */
    static String text(JsonNode json, String field) {
        JsonNode value = json.get(field);
        if (value == null || !value.isTextual()) {
            throw new IllegalArgumentException("the text \"" + field + "\" is missing");
        }
        return value.textValue();
    }

    /** A whole number that must be there. */
    static long integer(JsonNode json, String field) {
        JsonNode value = json.get(field);
        if (value == null || !value.isIntegralNumber()) {
            throw new IllegalArgumentException("the number \"" + field + "\" is missing");
        }
        return value.longValue();
    }
}
