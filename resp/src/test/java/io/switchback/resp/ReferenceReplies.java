package io.switchback.resp;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.util.ArrayList;
import java.util.List;

/**
 * What servers send, decoded the plain way into objects: {@link ReplyScanner} must find the same ends. Like that one it wants no
 * more of a length's line than its digits.
 */
final class ReferenceReplies {
    /** A value or an aggregate with its elements. */
    record Node(char type, String text, List<Node> elements) {}

    /** The bytes end too early. */
    private static final class TooShort extends Exception {
        private static final long serialVersionUID = 1;
    }

    /** No server says this. */
    private static final class Malformed extends Exception {
        private static final long serialVersionUID = 1;
    }

    private final String in;
    private int position;

    private ReferenceReplies(byte[] bytes) {
        in = new String(bytes, ISO_8859_1);
    }

    /** Each whole reply and push message with its end, and what comes after. */
    static List<String> decode(byte[] bytes) {
        ReferenceReplies replies = new ReferenceReplies(bytes);
        List<String> found = new ArrayList<>();
        try {
            while (true) {
                Node node = replies.node(0);
                if (node.type() == '|') {
                    continue; // it belongs to what comes
                }
                String kind =
                        node.type() == '>' ? "push" : node.type() == '-' || node.type() == '!' ? "error" : "reply";
                found.add(kind + " up to " + replies.position);
            }
        } catch (TooShort e) {
            found.add("more");
        } catch (Malformed e) {
            found.add("malformed");
        }
        return found;
    }

    private char take() throws TooShort {
        if (position == in.length()) {
            throw new TooShort();
        }
        return in.charAt(position++);
    }

    private Node node(int depth) throws TooShort, Malformed {
        char type = take();
        return switch (type) {
            case '+', '-', ':', '_', '#', ',', '(' -> {
                StringBuilder line = new StringBuilder();
                for (char c = take(); c != '\n'; c = take()) {
                    line.append(c);
                }
                yield new Node(type, line.toString(), List.of());
            }
            case '$', '=', '!' -> {
                long length = length();
                if (length >= 0 && position + length + 2 > in.length()) {
                    throw new TooShort();
                }
                int start = position;
                position += length < 0 ? 0 : (int) length + 2;
                yield new Node(type, in.substring(start, position), List.of());
            }
            case '*', '~', '%', '|', '>' -> {
                if (type == '>' && depth > 0) {
                    throw new Malformed();
                }
                yield new Node(type, "", elements(type, depth));
            }
            default -> throw new Malformed();
        };
    }

    private List<Node> elements(char type, int depth) throws TooShort, Malformed {
        long count = Math.max(0, length()) * (type == '%' || type == '|' ? 2 : 1);
        if (count > 0 && depth == ReplyScanner.DEPTH_MAX) {
            throw new Malformed();
        }
        List<Node> elements = new ArrayList<>();
        while (elements.size() < count) {
            Node element = node(depth + 1);
            if (element.type() != '|') {
                elements.add(element);
            }
        }
        return elements;
    }

    private long length() throws TooShort, Malformed {
        boolean negative = false;
        String digits = "";
        for (char c = take(); c != '\n'; c = take()) {
            if (c == '-' && digits.isEmpty() && !negative) {
                negative = true;
            } else if (c >= '0' && c <= '9' && digits.length() < 12) {
                digits += c;
            } else if (c != '\r' || digits.isEmpty()) {
                throw new Malformed();
            }
        }
        if (digits.isEmpty()) {
            throw new Malformed();
        }
        return negative ? -1 : Long.parseLong(digits);
    }
}
