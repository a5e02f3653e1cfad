package io.switchback.proxy;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;

/** The clients of all event loops of a proxy. Filled before the first client comes, then only read; any loop's thread. */
final class AllSessions {
    private final List<ProxyLoop> loops = new ArrayList<>();

    void add(ProxyLoop loop) {
        loops.add(loop);
    }

    /** Asks each loop about its clients, one loop after the other, and gives all answers to {@code then} on the loop that asked. */
    <T> void ask(ProxyLoop asking, Function<Stream<ClientSession>, List<T>> question, Consumer<List<T>> then) {
        ask(asking, question, then, 0, new ArrayList<>());
    }

    private <T> void ask(
            ProxyLoop asking,
            Function<Stream<ClientSession>, List<T>> question,
            Consumer<List<T>> then,
            int index,
            List<T> answers) {
        if (index == loops.size()) {
            asking.execute(() -> then.accept(answers));
            return;
        }
        ProxyLoop next = loops.get(index);
        next.execute(() -> {
            answers.addAll(question.apply(List.copyOf(next.sessions()).stream()));
            ask(asking, question, then, index + 1, answers);
        });
    }
}
