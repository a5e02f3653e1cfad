package io.switchback.release;

import io.switchback.commit.ParticipantState;
import io.switchback.commit.ParticipantState.BringingAlong;
import io.switchback.commit.ParticipantState.Finished;
import io.switchback.commit.ParticipantState.Holding;
import io.switchback.commit.ParticipantState.Initial;
import io.switchback.commit.ParticipantState.Inquiring;
import io.switchback.commit.ParticipantState.PreCommitted;
import io.switchback.commit.ParticipantState.Prepared;
import io.switchback.commit.ParticipantState.Settling;
import io.switchback.commit.Protocol;
import io.switchback.commit.Seat;
import io.switchback.commit.SwitchId;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.Operation;
import io.switchback.ledger.Verdict;
import io.switchback.release.SwitchRegister.Evidence;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * What one participant must not forget, in a ledger of this node alone: the last state that was logged, and what a pre-commit
 * brought. Every write is forced when it returns. For one thread at a time.
 */
final class ParticipantLog {
    private final Ledger ledger;
    private final String path;
    private volatile Optional<Logged> last;

    /** As it is kept; what a state does not have is left out. */
    private record Logged(
            String state,
            long overUpTo,
            @Nullable String release,
            long number,
            @Nullable Protocol protocol,
            @Nullable Set<String> peers,
            @Nullable Verdict verdict,
            boolean recorded,
            @Nullable Evidence evidence) {}

    ParticipantLog(Ledger ledger, String participant) {
        this.ledger = ledger;
        this.path = "participants/" + participant;
        this.last = ledger.read(path).map(entry -> ReleaseStore.value(entry.value(), Logged.class));
    }

    /** The last state that was written; the first of all where there is none. */
    ParticipantState state() {
        return last.map(ParticipantLog::state).orElseGet(() -> new Initial(0));
    }

    /** What the last pre-commit brought, where the last state is after one. */
    Optional<Evidence> evidence() {
        return last.map(Logged::evidence);
    }

    /** Whether that is the last that was written. */
    boolean has(ParticipantState state, @Nullable Evidence evidence) {
        return last.equals(Optional.of(record(state, evidence)));
    }

    /** Writes a state, unless it is the last one that was written. */
    void write(ParticipantState state, @Nullable Evidence evidence) {
        Logged record = record(state, evidence);
        if (last.equals(Optional.of(record))) {
            return;
        }
        ledger.transact(List.of(new Operation.Put(path, ReleaseStore.bytes(record))));
        last = Optional.of(record);
    }

    private static Logged record(ParticipantState state, @Nullable Evidence evidence) {
        return switch (state) {
            case Initial(long overUpTo) -> new Logged("INITIAL", overUpTo, null, 0, null, null, null, false, null);
            case Holding(Seat seat) -> record("HOLDING", seat, null, null);
            case Prepared(Seat seat) -> record("PREPARED", seat, null, null);
            case Inquiring(Seat seat, Set<String> _) -> record("PREPARED", seat, null, null);
            case PreCommitted(Seat seat) -> record("PRE_COMMITTED", seat, null, evidence);
            case BringingAlong(Seat seat, Set<String> _) -> record("PRE_COMMITTED", seat, null, evidence);
            case Settling(Seat seat, Verdict wish) -> record("SETTLING", seat, wish, evidence);
            case Finished(SwitchId id, Verdict verdict, boolean recorded) ->
                new Logged("FINISHED", 0, id.release(), id.number(), null, null, verdict, recorded, null);
        };
    }

    private static Logged record(String state, Seat seat, @Nullable Verdict wish, @Nullable Evidence evidence) {
        return new Logged(
                state,
                0,
                seat.id().release(),
                seat.id().number(),
                seat.protocol(),
                seat.peers(),
                wish,
                false,
                evidence);
    }

    private static ParticipantState state(Logged record) {
        return switch (record.state()) {
            case "INITIAL" -> new Initial(record.overUpTo());
            case "HOLDING" -> new Holding(seat(record));
            case "PREPARED" -> new Prepared(seat(record));
            case "PRE_COMMITTED" -> new PreCommitted(seat(record));
            case "SETTLING" -> new Settling(seat(record), Objects.requireNonNull(record.verdict()));
            case "FINISHED" -> new Finished(id(record), Objects.requireNonNull(record.verdict()), record.recorded());
            default -> throw new IllegalStateException("the log of a participant holds \"" + record.state() + "\"");
        };
    }

    private static SwitchId id(Logged record) {
        return new SwitchId(Objects.requireNonNull(record.release()), record.number());
    }

    private static Seat seat(Logged record) {
        return new Seat(id(record), Objects.requireNonNull(record.protocol()), Objects.requireNonNull(record.peers()));
    }
}
