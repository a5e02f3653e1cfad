package io.switchback.ledger;

import static io.switchback.ledger.ZooKeeperSession.ANY_VERSION;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.ledger.ZooKeeperSession.Answer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.locks.ReentrantLock;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.ZooDefs.Ids;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Who is visible at an ensemble: one ephemeral node for each name, and beside it a lasting one whose version is the number of the name's latest
 * announcement.
 *
 * <p>Announcing raises that version, takes away what lies under the name, and puts its own there, in one transaction: whoever does it later is
 * newer, by the ensemble's order. Announcing <em>again</em>, after a session was lost, wants the version to be the one that this announcement made. So an older
 * one never displaces a newer one, nor comes back after one that has gone meanwhile; it learns that it is superseded. The same
 * question is asked with every beat of the session and at every change among those present.
 *
 * <p>A lease is held while its session certainly lasts ({@link Tenure}) and its node was put there by this session.
 *
 * <p>Threads: {@link #announce} on any, one at a time ({@code announcing}); {@link #tend} on the keeper's; the rest on any.
 */
final class ZooKeeperPresence implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(ZooKeeperPresence.class);

    private static final byte[] NOTHING = new byte[0];

    private final ZooKeeperLayout layout;
    private final Environment environment;
    private final ZooKeeperReads reads;
    private final ReentrantLock announcing = new ReentrantLock();
    /** What was announced and is not superseded, and what is to be withdrawn. */
    private final List<Announcement> announcements = new CopyOnWriteArrayList<>();

    ZooKeeperPresence(ZooKeeperLayout layout, Environment environment, ZooKeeperReads reads) {
        this.layout = layout;
        this.environment = environment;
        this.reads = reads;
    }

    Lease announce(SessionKeeper keeper, String name, byte[] value, Deadline deadline) {
        announcing.lock();
        try {
            while (true) {
                ZooKeeperSession session = keeper.session(deadline, name + " was not announced");
                Optional<Announcement> announced = attempt(keeper, session, name, value, deadline);
                if (announced.isPresent()) {
                    // What a lost attempt of the same number has left is this one now.
                    announcements.removeIf(
                            announcement -> announcement.withdrawn && announcement.isSameAs(announced.get()));
                    announcements.add(announced.get());
                    // The one before, if it is of this very object, hears of it now, and not only with the next beat.
                    keeper.call();
                    return announced.get();
                }
                keeper.pause(deadline);
            }
        } finally {
            announcing.unlock();
        }
    }

    /**
     * Takes the name; empty where that was overtaken, or its answer lost. Then it is done anew, with a number that is drawn anew: the two
     * cannot take effect in the other order, since each names the version that it raises. What is lost is to be withdrawn, in case that it
     * is not done anew: that concerns only the announcement of its own number.
     */
    private Optional<Announcement> attempt(
            SessionKeeper keeper, ZooKeeperSession session, String name, byte[] value, Deadline deadline) {
        Optional<List<OpResult.@Nullable GetDataResult>> found =
                reads.values(session, List.of(layout.name(name), layout.presence(name)), deadline);
        if (found.isEmpty()) {
            return Optional.empty();
        }
        OpResult.GetDataResult latest = found.get().getFirst();
        int number = latest == null ? 0 : latest.getStat().getVersion() + 1;
        List<Op> request = new ArrayList<>();
        request.add(session.stillMine());
        request.add(
                latest == null
                        ? Op.create(layout.name(name), NOTHING, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT)
                        : Op.setData(layout.name(name), NOTHING, number - 1));
        request.addAll(inPlaceOf(found.get().getLast(), name, value));
        Answer answer = session.ask(request, deadline);
        Announcement announcement = new Announcement(keeper, name, value, number, session);
        if (answer.lost()) {
            announcement.close();
            announcements.add(announcement);
        }
        return answer.ok() ? Optional.of(announcement) : Optional.empty();
    }

    private List<Op> inPlaceOf(OpResult.@Nullable GetDataResult present, String name, byte[] value) {
        String node = layout.presence(name);
        Op create = Op.create(node, value, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        return present == null ? List.of(create) : List.of(Op.delete(node, ANY_VERSION), create);
    }

    Optional<Map<String, byte[]>> announced(ZooKeeperSession session, Deadline deadline) {
        Optional<List<String>> names = reads.children(session, layout.presence(), deadline);
        if (names.isEmpty()) {
            return Optional.empty();
        }
        List<String> nodes = names.get().stream().map(layout::presence).toList();
        return reads.values(session, nodes, deadline).map(values -> {
            Map<String, byte[]> announced = new TreeMap<>();
            for (int i = 0; i < values.size(); i++) {
                OpResult.GetDataResult data = values.get(i);
                if (data != null) {
                    announced.put(names.get().get(i), data.getData());
                }
            }
            return announced;
        });
    }

    /** Looks after all announcements in the present session. */
    void tend(ZooKeeperSession session) {
        for (Announcement announcement : announcements) {
            Deadline deadline = Deadline.in(
                    environment,
                    Duration.ofMillis(session.handle().getSessionTimeout()).dividedBy(Tenure.REPORT_DIVISOR));
            if (announcement.withdrawn) {
                withdraw(session, announcement, deadline);
            } else {
                tend(session, announcement, deadline);
            }
        }
    }

    private void tend(ZooKeeperSession session, Announcement announcement, Deadline deadline) {
        Op newest = Op.check(layout.name(announcement.name), announcement.number);
        Op there = Op.check(layout.presence(announcement.name), ANY_VERSION);
        boolean announcedHere = announcement.session == session;
        if (!announcedHere) {
            announceAgain(session, announcement, newest, deadline);
            return;
        }
        Answer answer = session.ask(List.of(session.stillMine(), newest, there), deadline);
        if (answer.failedAt(1)) {
            supersede(announcement);
        } else if (answer.failedAt(2)) {
            announceAgain(session, announcement, newest, deadline);
        }
    }

    private void announceAgain(ZooKeeperSession session, Announcement announcement, Op newest, Deadline deadline) {
        Optional<List<OpResult.@Nullable GetDataResult>> found =
                reads.values(session, List.of(layout.presence(announcement.name)), deadline);
        if (found.isEmpty()) {
            return;
        }
        List<Op> request = new ArrayList<>(List.of(session.stillMine(), newest));
        request.addAll(inPlaceOf(found.get().getFirst(), announcement.name, announcement.value));
        Answer answer = session.ask(request, deadline);
        if (answer.ok()) {
            announcement.session = session;
            LOG.info("{} is announced in the ledger again", announcement.name);
        } else if (answer.failedAt(1)) {
            supersede(announcement);
        }
        // Anything else: the next beat tries again.
    }

    private void supersede(Announcement announcement) {
        announcement.superseded = true;
        announcement.end();
        announcements.remove(announcement);
        LOG.warn("{} was announced in the ledger by a newer process: this one is not it any more", announcement.name);
    }

    private void withdraw(ZooKeeperSession session, Announcement announcement, Deadline deadline) {
        Answer answer = session.ask(
                List.of(
                        session.stillMine(),
                        Op.check(layout.name(announcement.name), announcement.number),
                        Op.delete(layout.presence(announcement.name), ANY_VERSION)),
                deadline);
        if (answer.ok() || answer.failedAt(1) || answer.failedAt(2)) {
            announcements.remove(announcement);
        }
    }

    /** Nothing is held any more; the session takes the nodes with it. */
    @Override
    public void close() {
        announcements.forEach(Announcement::end);
        announcements.clear();
    }

    /** One announcement of a name, and its lease. */
    private final class Announcement implements Lease {
        private final SessionKeeper keeper;
        private final String name;
        private final byte[] value;
        /** Of all announcements of this name. */
        private final int number;
        /** In which its node is there. */
        private volatile ZooKeeperSession session;

        private volatile boolean superseded;
        private volatile boolean withdrawn;
        private volatile boolean ended;
        private volatile long endedAtNanos;

        Announcement(SessionKeeper keeper, String name, byte[] value, int number, ZooKeeperSession session) {
            this.keeper = keeper;
            this.name = name;
            this.value = value;
            this.number = number;
            this.session = session;
        }

        private boolean isSameAs(Announcement other) {
            return number == other.number && name.equals(other.name);
        }

        private void end() {
            endedAtNanos = environment.nanoTime();
            ended = true;
        }

        @Override
        public boolean held() {
            return !ended && session.tenure().holds(environment.nanoTime());
        }

        @Override
        public long heldUntilNanos() {
            return ended ? endedAtNanos : session.tenure().untilNanos();
        }

        @Override
        public boolean superseded() {
            return superseded;
        }

        @Override
        public void close() {
            if (ended) {
                return;
            }
            withdrawn = true;
            end();
            keeper.call();
        }
    }
}
