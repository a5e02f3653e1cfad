package io.switchback.ledger;

/** What {@link Ledger#watch} gives: closing it ends the watching. A call that is under way then may still come to its end. */
public interface Watch extends AutoCloseable {
    @Override
    void close();
}
