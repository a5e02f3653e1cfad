package io.switchback.ledger;

import io.switchback.environment.Deadline;
import io.switchback.ledger.ZooKeeperSession.Answer;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Supplier;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.jspecify.annotations.Nullable;

/**
 * Reading many nodes at one instant. Any thread; no state.
 *
 * <p>Every transaction that changes something also changes the counter {@code changes}. A reading asks for the counter first and last, within one
 * session: the same number twice means that nothing came in between. What nodes there are is not known before, so a reading takes
 * a guess (what the one before has found), reads the folders again with everything else, and counts if they hold what was guessed.
 * As much as fits goes into one request, which a server answers between two transactions: so a steady stream of writers does not starve a reader.
 */
final class ZooKeeperReads {
    /** In one request: an answer to it is held in memory as a whole. */
    static final int CHUNK_OPERATIONS = 64;
    /** Each means that somebody has changed something, or that a folder was found one level down. */
    static final int ROUNDS_MAX = 1_000;

    private final ZooKeeperLayout layout;

    ZooKeeperReads(ZooKeeperLayout layout) {
        this.layout = layout;
    }

    /**
     * All entries below a path, by path; empty where an answer was lost, or the entries changed in every round.
     */
    Optional<List<Entry>> list(ZooKeeperSession session, String prefix, Deadline deadline) {
        Tree guess = new Tree(new TreeSet<>(List.of(layout.folder(prefix))), new TreeSet<>());
        boolean whole = false;
        for (int round = 0; round < ROUNDS_MAX && !deadline.passed(); round++) {
            Optional<Reading> reading = read(session, guess, whole, deadline);
            if (reading.isEmpty()) {
                return Optional.empty();
            }
            Tree found = reading.get().tree;
            if (whole && reading.get().atOneInstant && found.equals(guess)) {
                return Optional.of(reading.get().entries);
            }
            // Values are worth reading only once it is known where folders are.
            whole = found.folders.equals(guess.folders);
            guess = found;
        }
        return Optional.empty();
    }

    /** The values of nodes, null where there is none; empty where an answer was lost. Not at one instant. */
    Optional<List<OpResult.@Nullable GetDataResult>> values(
            ZooKeeperSession session, List<String> nodes, Deadline deadline) {
        return inChunks(session, nodes.stream().map(Op::getData).toList(), deadline)
                .map(results -> results.stream()
                        .<OpResult.@Nullable GetDataResult>map(
                                result -> result instanceof OpResult.GetDataResult data ? data : null)
                        .toList());
    }

    /** Which of these nodes are there; empty where an answer was lost. Only for nodes without children. */
    Optional<List<Boolean>> present(ZooKeeperSession session, List<String> leaves, Deadline deadline) {
        // The children of a node that has none: there is no cheaper question that goes together with others.
        return inChunks(session, leaves.stream().map(Op::getChildren).toList(), deadline)
                .map(results -> results.stream()
                        .map(OpResult.GetChildrenResult.class::isInstance)
                        .toList());
    }

    /** The names of a node's children, none where it is not there; empty where the answer was lost. */
    Optional<List<String>> children(ZooKeeperSession session, String node, Deadline deadline) {
        return inChunks(session, List.of(Op.getChildren(node)), deadline)
                .map(results -> results.getFirst() instanceof OpResult.GetChildrenResult children
                        ? children.getChildren()
                        : List.of());
    }

    /** Folders and entries, as nodes. */
    private record Tree(TreeSet<String> folders, TreeSet<String> entries) {}

    private record Reading(Tree tree, List<Entry> entries, boolean atOneInstant) {}

    private Optional<Reading> read(ZooKeeperSession session, Tree guess, boolean whole, Deadline deadline) {
        List<Op> questions = new ArrayList<>();
        questions.add(Op.getData(layout.changes()));
        guess.folders.forEach(folder -> questions.add(Op.getChildren(folder)));
        if (whole) {
            guess.entries.forEach(entry -> questions.add(Op.getData(entry)));
        }
        questions.add(Op.getData(layout.changes()));
        return inChunks(session, questions, deadline).map(results -> reading(guess, whole, results));
    }

    private Reading reading(Tree guess, boolean whole, List<OpResult> results) {
        Tree found = new Tree(new TreeSet<>(List.of(guess.folders.first())), new TreeSet<>());
        int at = 1;
        for (String folder : guess.folders) {
            if (results.get(at++) instanceof OpResult.GetChildrenResult children) {
                for (String name : children.getChildren()) {
                    (ZooKeeperLayout.isEntry(name) ? found.entries : found.folders).add(folder + "/" + name);
                }
            }
        }
        TreeMap<String, Entry> entries = new TreeMap<>();
        for (String node : whole ? guess.entries : new TreeSet<String>()) {
            if (results.get(at++) instanceof OpResult.GetDataResult data) {
                String path = layout.pathOf(node);
                entries.put(path, entry(path, data));
            }
        }
        return new Reading(
                found, List.copyOf(entries.values()), changes(results.getFirst()) == changes(results.getLast()));
    }

    static Entry entry(String path, OpResult.GetDataResult data) {
        return new Entry(path, data.getData(), data.getStat().getVersion());
    }

    private int changes(OpResult result) {
        if (result instanceof OpResult.GetDataResult data) {
            return data.getStat().getVersion();
        }
        throw new LedgerException(
                LedgerException.Code.DAMAGED,
                "The ledger in " + layout.hosts() + layout.root() + " is not whole: its node " + layout.changes()
                        + " is not there. Nothing is guessed.");
    }

    private static Optional<List<OpResult>> inChunks(ZooKeeperSession session, List<Op> questions, Deadline deadline) {
        // All are sent before the first is waited for.
        List<Supplier<Answer>> answers = new ArrayList<>();
        for (int from = 0; from < questions.size(); from += CHUNK_OPERATIONS) {
            int to = Math.min(questions.size(), from + CHUNK_OPERATIONS);
            answers.add(session.send(questions.subList(from, to), deadline));
        }
        List<OpResult> results = new ArrayList<>();
        for (Supplier<Answer> answer : answers) {
            Answer got = answer.get();
            if (got.results().isEmpty()) {
                return Optional.empty();
            }
            results.addAll(got.results());
        }
        return Optional.of(results);
    }
}
