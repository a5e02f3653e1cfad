package io.switchback.clients;

/** Clients of one library in one protocol, at work until they are stopped. */
interface Clients extends AutoCloseable {
    /** Returns when each kind of work has got on by some turns; throws at once where one has failed. */
    void awaitMore();

    /** Has everyone end with what they are at. Their connections stay open until {@link #close}. */
    Findings stop();

    @Override
    void close();
}
