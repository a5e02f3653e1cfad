package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.nio.charset.StandardCharsets.UTF_8;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.proxy.Scripts.Script;
import io.switchback.resp.Reply;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Brings scripts where a switch is about to lead, over a connection of the fleet's own user: those that are remembered and are not there,
 * by one loop for all, and from then on what the clients of this loop load or run first.
 *
 * <p>A script that cannot be brought stops no switch, least of all the way back: the client is told NOSCRIPT, as by any server that was started
 * anew. A hold waits for what is on its way, which has a limit.
 *
 * <p>Owned by its event loop.
 */
@SuppressWarnings("FutureReturnValueIgnored") // what becomes of a task is told by other events
final class ScriptsAhead {
    private static final Logger LOG = LoggerFactory.getLogger(ScriptsAhead.class);

    /** For so long a switch is not prepared, since scripts are being brought. */
    static final long BRINGING_MS_MAX = 2_000;
    /** Of those that clients load or run while a switch is prepared, so many are on their way at a time; one more is left out. */
    private static final int UNDER_WAY_MAX = 64;
    /** A line for each script that is asked for. */
    private static final int ANSWER_BYTES_MAX = 64 * 1024;

    private final ProxyLoop loop;
    private final Backends backends;
    private final ConnectionKey key;
    /** Where a switch is about to lead; null without one. */
    private @Nullable BackendRoute next;

    private @Nullable BackendConnection connection;
    private @Nullable BackendOpening opening;
    /** Run once there is a connection, or none can be had. */
    private final List<Runnable> onceOpened = new ArrayList<>();

    private int underWay;

    /** {@code key}: over what; it names the server where the fleet has several. */
    ScriptsAhead(ProxyLoop loop, Backends backends, ConnectionKey key) {
        this.key = key;
        this.loop = loop;
        this.backends = backends;
    }

    /** A switch is being prepared: what is seen from now on is brought there. */
    void begin(BackendRoute to) {
        next = to;
    }

    /** It is over, or was given up. The connection is closed, or taken into use, with the others. */
    void end() {
        next = null;
        connection = null;
        BackendOpening unfinished = opening;
        opening = null;
        if (unfinished != null) {
            unfinished.giveUp();
        }
    }

    /** Brings what is remembered and is not there. {@code done} completes in any case, and after {@link #BRINGING_MS_MAX} at the latest. */
    void bringAll(CompletableFuture<Void> done) {
        List<Script> all = loop.scripts().all();
        BackendRoute to = next;
        if (to == null || all.isEmpty()) {
            done.complete(null);
            return;
        }
        loop.executor().schedule(() -> tooLate(to, done), BRINGING_MS_MAX, TimeUnit.MILLISECONDS);
        onceOpened(() -> {
            BackendConnection over = connection;
            if (over == null) {
                done.complete(null);
            } else {
                askWhichAreThere(over, all, done);
            }
        });
    }

    private void tooLate(BackendRoute to, CompletableFuture<Void> done) {
        if (done.isDone() || !to.equals(next)) {
            done.complete(null);
            return;
        }
        LOG.warn(
                "not all scripts could be brought to fleet {} within {} ms; the switch goes on without",
                to.fleet().name(),
                BRINGING_MS_MAX);
        BackendConnection over = connection;
        if (over != null) {
            connection = null;
            over.close();
        }
        BackendOpening unfinished = opening;
        if (unfinished != null) {
            unfinished.giveUp();
        }
        done.complete(null);
    }

    /** A client has loaded or run it for the first time. */
    void seen(Script script) {
        if (next == null) {
            return;
        }
        if (underWay >= UNDER_WAY_MAX) {
            loop.reached(Limit.SCRIPT_BYTES);
            LOG.debug("a script is not brought where a switch leads: too many are on their way");
            return;
        }
        underWay++;
        onceOpened(() -> {
            BackendConnection over = connection;
            if (over == null) {
                underWay--;
            } else {
                load(over, List.of(script), () -> underWay--);
            }
        });
    }

    private void onceOpened(Runnable then) {
        BackendConnection now = connection;
        BackendRoute to = next;
        if (to == null || (now != null && now.isOpen())) {
            then.run();
            return;
        }
        connection = null;
        onceOpened.add(then);
        if (opening == null) {
            loop.bringingBegan();
            BackendOpening begun = new BackendOpening(loop, key, to, new Opened(to), false);
            opening = begun;
            begun.start();
        }
    }

    private final class Opened implements BackendOpening.Result {
        private final BackendRoute to;

        Opened(BackendRoute to) {
            this.to = to;
        }

        @Override
        public void opened(BackendConnection made) {
            if (to.equals(next)) {
                backends.openedAhead(made);
                connection = made;
            } else {
                made.close();
            }
            ended();
        }

        @Override
        public void failed(String error) {
            LOG.warn("scripts cannot be brought to fleet {}: {}", to.fleet().name(), error);
            ended();
        }

        @Override
        public void superseded() {
            failed("the route has changed");
        }

        private void ended() {
            if (to.equals(next) || next == null) {
                opening = null;
                List<Runnable> waiting = List.copyOf(onceOpened);
                onceOpened.clear();
                waiting.forEach(Runnable::run);
            }
            loop.bringingEnded();
        }
    }

    private void askWhichAreThere(BackendConnection over, List<Script> all, CompletableFuture<Void> done) {
        String[] command = new String[2 + all.size()];
        command[0] = "SCRIPT";
        command[1] = "EXISTS";
        for (int i = 0; i < all.size(); i++) {
            command[2 + i] = all.get(i).hash;
        }
        loop.bringingBegan();
        over.send(new Run(null, Wire.command(command), 1, new WhichAreThere(over, all, done), loop.nanoTime(), 1));
    }

    /** The answer to that: where there is none, all are loaded. */
    private final class WhichAreThere implements ReplySink {
        private final BackendConnection over;
        private final List<Script> all;
        private final CompletableFuture<Void> done;
        private final ByteBuf answer = Unpooled.buffer();

        WhichAreThere(BackendConnection over, List<Script> all, CompletableFuture<Void> done) {
            this.over = over;
            this.all = all;
            this.done = done;
        }

        @Override
        public void receive(Run run, ByteBuf in, int index, int length) {
            if (answer.readableBytes() + length <= ANSWER_BYTES_MAX) {
                answer.writeBytes(in, index, length);
            }
        }

        @Override
        public void answered(Run run) {
            List<Script> missing = new ArrayList<>(all);
            if (FilteringOperation.read(answer, 1)[0] instanceof Reply.Array(List<Reply> each)
                    && each.size() == all.size()) {
                missing.clear();
                for (int i = 0; i < all.size(); i++) {
                    if (!(each.get(i) instanceof Reply.Int(long is) && is == 1)) {
                        missing.add(all.get(i));
                    }
                }
            }
            if (missing.isEmpty()) {
                done.complete(null);
            } else {
                load(over, missing, () -> done.complete(null));
            }
            loop.bringingEnded();
        }

        @Override
        public void lost(Run run, String why) {
            done.complete(null);
            loop.bringingEnded();
        }
    }

    private void load(BackendConnection over, List<Script> scripts, Runnable brought) {
        ByteBuf commands = Unpooled.buffer();
        for (Script script : scripts) {
            ByteBuf one = Wire.command("SCRIPT".getBytes(US_ASCII), "LOAD".getBytes(US_ASCII), script.body);
            commands.writeBytes(one);
            one.release();
        }
        loop.bringingBegan();
        over.send(new Run(null, commands, scripts.size(), new Loaded(brought), loop.nanoTime(), 1));
    }

    /** What comes of loading scripts: one that the server does not take, it would not have taken from a client either. */
    private final class Loaded implements ReplySink {
        private final Runnable brought;

        Loaded(Runnable brought) {
            this.brought = brought;
        }

        @Override
        public void receive(Run run, ByteBuf in, int index, int length) {
            if (run.errors > 0 && in.getByte(index) == '-') {
                LOG.info(
                        "a script is not loaded where a switch leads: {}",
                        in.toString(index, length, UTF_8).strip());
            }
        }

        @Override
        public void answered(Run run) {
            brought.run();
            loop.bringingEnded();
        }

        @Override
        public void lost(Run run, String why) {
            answered(run);
        }
    }
}
