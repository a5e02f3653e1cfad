package io.switchback.ledger;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Optional;

/** Numbers that are drawn once each and only grow, from 1, over all processes and restarts. Any thread. */
public final class Numbers {
    private static final String FOLDER = "numbers/";
    /** Each lost attempt means that somebody else has drawn. */
    private static final int ATTEMPTS_MAX = 10_000;

    private final Ledger ledger;
    private final String path;

    /** The row of numbers called {@code name}. */
    public Numbers(Ledger ledger, String name) {
        this.ledger = ledger;
        this.path = FOLDER + name;
    }

    /** A number that nobody was given before; durably taken. */
    public long next() {
        for (int attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
            Optional<Entry> now = ledger.read(path);
            long next = now.map(Numbers::number).orElse(0L) + 1;
            byte[] value = Long.toString(next).getBytes(StandardCharsets.UTF_8);
            Outcome outcome = ledger.transact(List.of(
                    now.isPresent()
                            ? new Operation.Replace(path, value, now.get().version())
                            : new Operation.Create(path, value)));
            if (outcome instanceof Outcome.Done) {
                return next;
            }
        }
        throw new LedgerException(
                LedgerException.Code.CONFLICT,
                "No number of " + path + " could be drawn in " + ATTEMPTS_MAX + " attempts: others draw without end");
    }

    /** The last number that was drawn; 0 before the first. */
    public long last() {
        return ledger.read(path).map(Numbers::number).orElse(0L);
    }

    private static long number(Entry entry) {
        return Json.read(entry, json -> {
            if (!json.isIntegralNumber()) {
                throw new IllegalArgumentException("not a number");
            }
            return json.longValue();
        });
    }
}
