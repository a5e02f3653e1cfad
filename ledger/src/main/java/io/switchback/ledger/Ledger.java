package io.switchback.ledger;

import java.util.List;
import java.util.Map;
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

    /** What to {@link #watch} to hear who comes and goes; no entry can lie here. */
    String PRESENCE = ".presence";

    /**
     * What this ledger is known by, for ever: drawn at random when it was made. A ledger that was wiped and made anew has another one.
     */
    String id();

    /**
     * The entry at a path. May lag behind what others have done, never behind what this object has done or seen, and never goes
     * backwards; {@link #catchUp} removes the lag.
     *
     * @throws LedgerException UNREACHABLE
     */
    Optional<Entry> read(String path);

    /**
     * All entries below {@code prefix/}, at any depth, by path: the state at one instant, which lags no more than {@link #read}.
     *
     * @throws LedgerException UNREACHABLE, also where others changed it in each moment for as long as it was tried
     */
    List<Entry> list(String prefix);

    /**
     * Makes all changes, or none and says why.
     *
     * @throws LedgerException if a limit is passed or storage fails; its code says whether the transaction can be in the ledger
     */
    Outcome transact(List<Operation> operations);

    /**
     * When it returns, reads that begin afterwards show everything that was answered {@link Outcome.Done} to anybody before the call.
     *
     * @throws LedgerException UNREACHABLE
     */
    void catchUp();

    /**
     * Calls {@code changed} soon after anything at or below {@code path} may have changed, by whomever, and whenever the ledger was out of
     * reach for a while; also for nothing. On a thread of the ledger's, never concurrently with itself; it is a hint to read. What it
     * throws is logged.
     */
    Watch watch(String path, Runnable changed);

    /**
     * Makes this process visible under a name to all, for as long as its session with the ledger lasts. A name that another session
     * has announced is taken over at once, so that a process that was killed and started again does not wait for its predecessor: the
     * newest announcement wins, and the older one's lease is superseded.
     *
     * @param name one name, as in a path
     * @throws LedgerException UNREACHABLE: the name may have been taken, and is given up then
     */
    Lease announce(String name, byte[] value);

    /** Who is visible, by name, with the values that they gave; lags as {@link #read} does. */
    Map<String, byte[]> announced();

    @Override
    void close();
}
