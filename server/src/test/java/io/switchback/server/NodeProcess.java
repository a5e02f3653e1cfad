package io.switchback.server;

import io.switchback.environment.Environment;
import io.switchback.ledger.EmbeddedLedger;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.Operation;
import io.switchback.ledger.Outcome;
import io.switchback.release.Order;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.ReleaseState.Status;
import io.switchback.release.ReleaseStatus;
import io.switchback.release.Step;
import io.switchback.testkit.Await;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A node in a process of its own that can be told to die, as by SIGKILL, just before or just after its n-th write to the
 * ledger: every point at which what is durable and what has been done may differ. It leads a release there and back by itself,
 * from wherever it finds it.
 *
 * <p>Arguments: node file, release file, the number of the write (0: never), "before" or "after".
 * Exit codes: 0 the release has reached its end, {@link #DIED} it died as told, anything else is a failure.
 */
final class NodeProcess {
    static final int DIED = 99;

    /** What stands before the number of a write that decided a switch. */
    static final String DECISION = "decision ";

    private NodeProcess() {}

    /** Leads the release: start, observe, rollback, resume, observe, finish; each order given once, as its place tells. */
    public static void main(String[] arguments) throws IOException {
        NodeFile file = NodeFile.read(Path.of(arguments[0]));
        int write = Integer.parseInt(arguments[2]);
        Ledger ledger = EmbeddedLedger.open(file.dataFolder(), Environment.system());
        MortalLedger mortal = new MortalLedger(ledger, write, arguments[3].equals("before"));
        try (Node node = Node.start(file, Environment.system(), mortal)) {
            System.out.println("port " + node.addresses("sessions").getFirst().port());
            lead(node, io.switchback.release.ReleaseFile.read(Path.of(arguments[1])));
            System.out.println("writes " + mortal.writes.get());
        }
    }

    private static void lead(Node node, io.switchback.release.ReleaseFile file) {
        String name = file.name();
        if (node.releases().status(name).isEmpty()) {
            node.releases().start(file, "test");
        }
        while (true) {
            ReleaseStatus status = settled(node, name);
            System.out.println("at " + status.status() + " " + status.step() + " " + status.side());
            boolean rolledBackOnce = node.releases().journal(name).stream()
                    .anyMatch(entry -> entry.what().equals("rollback"));
            switch (status.status()) {
                case FINISHED -> {
                    return;
                }
                case ROLLED_BACK -> order(node, name, Order.Kind.RESUME);
                case RUNNING -> order(node, name, rolledBackOnce ? Order.Kind.FINISH : Order.Kind.ROLLBACK);
                case ABORTED, FAILED, PAUSED -> throw new AssertionError("it ended otherwise: " + status);
            }
        }
    }

    /** Waits for a place at which a person would give the next order. */
    private static ReleaseStatus settled(Node node, String name) {
        Await.until(TwoFleets.STEP_LIMIT, "a place to give an order at", () -> {
            ReleaseStatus now = node.releases().status(name).orElseThrow();
            boolean observing = now.step() == Step.OBSERVE
                    && now.side() == Side.NEW
                    && now.status() == Status.RUNNING
                    && now.caches().getFirst().wayBack() == ReleaseStatus.WayBack.OPEN;
            return observing
                    || now.status().ended()
                    || now.status() == Status.ROLLED_BACK
                    || now.status() == Status.PAUSED;
        });
        return node.releases().status(name).orElseThrow();
    }

    private static void order(Node node, String name, Order.Kind kind) {
        ReleaseStatus before = node.releases().status(name).orElseThrow();
        node.releases().order(name, new Order(kind, false, "test"));
        Await.until(TwoFleets.STEP_LIMIT, kind + " to be carried out", () -> {
            ReleaseStatus now = node.releases().status(name).orElseThrow();
            return now.status() != before.status()
                    || now.side() != before.side()
                    || now.status().ended();
        });
    }

    /** A ledger that takes its process with it. */
    private static final class MortalLedger implements ForwardingLedger {
        private final Ledger ledger;
        private final int fatal;
        private final boolean before;
        private final AtomicInteger writes = new AtomicInteger();

        MortalLedger(Ledger ledger, int fatal, boolean before) {
            this.ledger = ledger;
            this.fatal = fatal;
            this.before = before;
        }

        @Override
        public Outcome transact(List<Operation> operations) {
            int write = writes.incrementAndGet();
            if (operations.stream().anyMatch(operation -> operation.path().startsWith("decisions/"))) {
                System.out.println(DECISION + write);
            }
            boolean die = write == fatal;
            if (die && before) {
                Runtime.getRuntime().halt(DIED);
            }
            Outcome outcome = ledger.transact(operations);
            if (die) {
                Runtime.getRuntime().halt(DIED);
            }
            return outcome;
        }

        @Override
        public Ledger ledger() {
            return ledger;
        }
    }
}
