package io.switchback.commit;

import java.util.List;

/**
 * What a state machine says to an event: the state that it is in now, how durable that has to be, and what its driver shall do, in
 * this order. The driver makes the state as durable as is asked before it carries out any action that others can notice; a participant's
 * Apply alone need not wait (see there).
 */
public record Step<S, A>(S state, Durability durability, List<A> actions) {
    public Step {
        actions = List.copyOf(actions);
    }

    static <S, A> Step<S, A> to(S state) {
        return new Step<>(state, Durability.NONE, List.of());
    }

    static <S, A> Step<S, A> to(S state, A action) {
        return new Step<>(state, Durability.NONE, List.of(action));
    }

    static <S, A> Step<S, A> to(S state, A first, A second) {
        return new Step<>(state, Durability.NONE, List.of(first, second));
    }

    static <S, A> Step<S, A> lazily(S state, A action) {
        return new Step<>(state, Durability.LAZY, List.of(action));
    }

    static <S, A> Step<S, A> lazily(S state, A first, A second) {
        return new Step<>(state, Durability.LAZY, List.of(first, second));
    }

    static <S, A> Step<S, A> forced(S state, A action) {
        return new Step<>(state, Durability.FORCED, List.of(action));
    }

    static <S, A> Step<S, A> forced(S state, A first, A second) {
        return new Step<>(state, Durability.FORCED, List.of(first, second));
    }
}
