package io.switchback.ledger;

import java.util.List;
import java.util.regex.Pattern;

/** What every ledger refuses before it looks at anything: paths that are none, and what is too large. */
final class Limits {
    private static final String NAME = "[A-Za-z0-9_-][A-Za-z0-9._-]*";
    private static final Pattern PATH = Pattern.compile(NAME + "(/" + NAME + ")*");
    private static final Pattern ONE_NAME = Pattern.compile(NAME);

    private Limits() {}

    static void check(List<Operation> operations) {
        if (operations.size() > Ledger.TRANSACTION_OPERATIONS_MAX) {
            throw limit("A transaction has " + operations.size() + " operations, more than "
                    + Ledger.TRANSACTION_OPERATIONS_MAX);
        }
        long bytes = 0;
        for (Operation operation : operations) {
            int value = valueBytes(operation);
            checkValue(operation.path(), value);
            bytes += checkedPath(operation.path()).length() + value;
        }
        if (bytes > Ledger.TRANSACTION_BYTES_MAX) {
            throw limit("A transaction is " + bytes + " bytes long, more than " + Ledger.TRANSACTION_BYTES_MAX);
        }
    }

    static String checkedPath(String path) {
        checkLength(path);
        if (!PATH.matcher(path).matches()) {
            throw new IllegalArgumentException("\"" + path + "\" is no path of a ledger");
        }
        return path;
    }

    /** A path that can be watched: any path, and the place of those who are present. */
    static String checkedWatch(String path) {
        return path.equals(Ledger.PRESENCE) ? path : checkedPath(path);
    }

    static void checkAnnouncement(String name, byte[] value) {
        checkLength(name);
        if (!ONE_NAME.matcher(name).matches()) {
            throw new IllegalArgumentException("\"" + name + "\" is no name that can be announced");
        }
        checkValue(name, value.length);
    }

    static LedgerException limit(String message) {
        return new LedgerException(LedgerException.Code.LIMIT, message + ". Nothing was changed.");
    }

    private static void checkLength(String path) {
        if (path.length() > Ledger.PATH_CHARACTERS_MAX) {
            throw limit("A path is " + path.length() + " characters long, more than " + Ledger.PATH_CHARACTERS_MAX);
        }
    }

    private static void checkValue(String path, int bytes) {
        if (bytes > Ledger.VALUE_BYTES_MAX) {
            throw limit("The value for " + path + " is " + bytes + " bytes long, more than " + Ledger.VALUE_BYTES_MAX);
        }
    }

    private static int valueBytes(Operation operation) {
        return switch (operation) {
            case Operation.Create create -> create.value().length;
            case Operation.Put put -> put.value().length;
            case Operation.Replace replace -> replace.value().length;
            case Operation.Delete _, Operation.Expect _, Operation.ExpectAbsent _ -> 0;
        };
    }
}
