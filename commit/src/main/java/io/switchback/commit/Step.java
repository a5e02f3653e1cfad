package io.switchback.commit;

import java.util.List;

/**
 * What a state machine says to an event: the state that it is in now, and what its driver shall do, in this order. The driver makes
 * the state durable, where docs/commit.md says so, before it does anything.
 */
public record Step<S, A>(S state, List<A> actions) {
    public Step {
        actions = List.copyOf(actions);
    }

    static <S, A> Step<S, A> to(S state) {
        return new Step<>(state, List.of());
    }

    static <S, A> Step<S, A> to(S state, A action) {
        return new Step<>(state, List.of(action));
    }

    static <S, A> Step<S, A> to(S state, A first, A second) {
        return new Step<>(state, List.of(first, second));
    }
}
