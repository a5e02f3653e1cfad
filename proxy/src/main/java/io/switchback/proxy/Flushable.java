package io.switchback.proxy;

/** A channel with bytes written and not flushed. */
interface Flushable {
    /** Called once at the end of the loop's turn. */
    void flushNow();
}
