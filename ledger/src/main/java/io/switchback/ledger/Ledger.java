package io.switchback.ledger;

import java.util.List;
import java.util.Optional;

/**
 * Durable state in small entries at paths, changed in transactions.
 *
 * <p>Every method may be called from any thread. What a read returns is durable already, and a transaction that was answered
 * {@link Outcome.Done} survives any crash. The limits are those that an ensemble of several machines can keep as well.
 *
 * <p>A path is names joined by slashes, each of letters, digits, dots, dashes and underscores: {@code journal/r-1/00000000000000000001}.
 */
public interface Ledger extends AutoCloseable {
    int PATH_CHARACTERS_MAX = 512;
    int VALUE_BYTES_MAX = 256 * 1024;
    int TRANSACTION_OPERATIONS_MAX = 128;
    /** Of all paths and values together. */
    int TRANSACTION_BYTES_MAX = 900 * 1024;

    /** The entry at a path. */
    Optional<Entry> read(String path);

    /** All entries below {@code prefix/}, at any depth, by path: the state at one instant. */
    List<Entry> list(String prefix);

    /**
     * Makes all changes, or none and says why.
     *
     * @throws LedgerException if a limit is passed or storage fails; its code says whether the transaction can be in the ledger
     */
    Outcome transact(List<Operation> operations);

    @Override
    void close();
}
