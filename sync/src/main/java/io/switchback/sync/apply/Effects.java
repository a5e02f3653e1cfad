package io.switchback.sync.apply;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.util.Locale;
import java.util.OptionalInt;

/** What commands of a stream do to the keys that they name, as far as a link must know it. Pure. */
final class Effects {
    private Effects() {}

    /** Whether its keys are afterwards what it says, whatever they were before: it may be run twice, and upon a key that is gone. */
    static boolean overwrites(StreamCommand command) {
        return switch (command.name()) {
            case "DEL", "UNLINK", "SETEX", "PSETEX", "MSET" -> true;
            case "SET" -> setsWhateverThere(command);
            case "RESTORE" -> has(command, 4, "REPLACE");
            default -> false;
        };
    }

    /** Options of SET that look at what is there, or keep something of it. */
    private static boolean setsWhateverThere(StreamCommand command) {
        for (int i = 3; i < command.words().length; i++) {
            switch (command.word(i)) {
                case "EX", "PX", "EXAT", "PXAT" -> i++;
                default -> {
                    return false;
                }
            }
        }
        return true;
    }

    /** The database beside its own that it changes. */
    static OptionalInt otherDatabase(StreamCommand command) {
        return switch (command.name()) {
            case "MOVE" -> number(command, 2);
            case "COPY" -> {
                for (int i = 3; i + 1 < command.words().length; i++) {
                    if (command.word(i).equals("DB")) {
                        yield number(command, i + 1);
                    }
                }
                yield OptionalInt.empty();
            }
            default -> OptionalInt.empty();
        };
    }

    /** Whether it changes another database, or reads keys that are not among its words (SORT). */
    static boolean reachesFurther(StreamCommand command) {
        return command.name().equals("SORT") || otherDatabase(command).isPresent();
    }

    /** Whether it does the same to each of its keys, and the others do not matter for it: the keys may be told apart. */
    static boolean isOfEachKey(StreamCommand command) {
        return switch (command.name()) {
            case "DEL", "UNLINK", "MSET" -> true;
            default -> false;
        };
    }

    /** Whether it does what a script says, to keys that it need not name. */
    static boolean isScript(StreamCommand command) {
        return switch (command.name()) {
            case "EVAL", "EVALSHA", "FCALL" -> true;
            default -> false;
        };
    }

    /** A word as a number; empty where it is none. */
    static OptionalInt number(StreamCommand command, int word) {
        try {
            return word < command.words().length
                    ? OptionalInt.of(Integer.parseInt(command.word(word)))
                    : OptionalInt.empty();
        } catch (NumberFormatException e) {
            return OptionalInt.empty();
        }
    }

    /** Whether one of the words from number {@code from} on is that one, in any case. */
    static boolean has(StreamCommand command, int from, String wanted) {
        for (int i = from; i < command.words().length; i++) {
            byte[] word = command.words()[i];
            if (word.length == wanted.length()
                    && new String(word, US_ASCII).toUpperCase(Locale.ROOT).equals(wanted)) {
                return true;
            }
        }
        return false;
    }
}
