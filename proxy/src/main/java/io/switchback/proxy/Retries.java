package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import io.netty.buffer.ByteBuf;
import io.switchback.fleet.Endpoint;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * How often and for how long one command has been sent to servers of a cluster that have not run it ({@link NotExecuted}), and where and
 * when it is to be sent next. Owned by its session's event loop.
 */
@SuppressWarnings("FutureReturnValueIgnored") // what becomes of a task is told by other events
final class Retries {
    /** So long after a command was not run when it was sent again its client is told why. */
    static final long LIMIT_NANOS = TimeUnit.SECONDS.toNanos(5);
    /** Or once it was sent so often. */
    static final int TRIES_MAX = 1_024;

    /** Redirections in a row that are followed at once; more of them are two servers that do not agree yet. */
    private static final int AT_ONCE_MAX = 3;

    private static final long PAUSE_MS = 10;
    /** A server that does not take it does not have it afterwards either. */
    private static final int SCRIPTS_BROUGHT_MAX = 3;

    private final ClientSession session;
    private int tries;
    private long sinceNanos;
    private long notBeforeNanos;
    private @Nullable Endpoint next;
    private boolean asks;
    /** What has to be there before the next try; null where nothing has. */
    private byte @Nullable [] script;

    private int scriptsBrought;
    /** What a replica has answered, where it was sent to one last; empty where it was not, or has answered something else. */
    private String saidByReplica = "";
    /** Of that primary, in a cluster of that version. */
    private @Nullable Endpoint primary;

    private int version;

    Retries(ClientSession session) {
        this.session = session;
    }

    /** Where the next try goes; null where the slot says that. */
    @Nullable
    Endpoint next() {
        return next;
    }

    /** Whether ASKING has to stand in front of it. */
    boolean asks() {
        return asks;
    }

    /** The next try is of EVALSHA with this script, which its server does not have. */
    void bring(byte[] body) {
        script = body;
    }

    /** What has to be sent in front of the next try, which is being sent now; null for nothing. */
    byte @Nullable [] takeScript() {
        byte[] brought = script;
        script = null;
        scriptsBrought += brought == null ? 0 : 1;
        return brought;
    }

    /** The next try goes nowhere in particular. */
    void forgetNext() {
        next = null;
        asks = false;
    }

    /** It was sent to a replica of that primary. */
    void wasAtReplicaOf(@Nullable Endpoint server, int versionOfMap) {
        primary = server;
        version = versionOfMap;
    }

    /** Whether a replica of the primary that answers has answered exactly this: then it shows the client nothing that the replica had not. */
    boolean isSaidByReplicaOf(@Nullable Endpoint server, int versionOfMap, ByteBuf in, int index, int length) {
        return !saidByReplica.isEmpty()
                && version == versionOfMap
                && Objects.equals(primary, server)
                && length == saidByReplica.length()
                && saidByReplica.equals(in.toString(index, length, ISO_8859_1));
    }

    /** Whether the time has come for the next try; else the session is resumed when it has. */
    boolean isTime() {
        return tries == 0 || session.loop().nanoTime() - notBeforeNanos >= 0;
    }

    /** It was not run. Whether it is to be sent again; the session is resumed when it is time. */
    boolean again(NotExecuted answer) {
        ProxyLoop loop = session.loop();
        long now = loop.nanoTime();
        if (tries < 2) {
            sinceNanos = now; // for its first repetition it may have waited for those of others
        }
        if (answer.kind() == NotExecuted.Kind.NO_SCRIPT && (script == null || scriptsBrought == SCRIPTS_BROUGHT_MAX)) {
            return false;
        }
        saidByReplica = answer.kind() == NotExecuted.Kind.NOT_BELIEVED ? answer.error() : "";
        tries++;
        if (tries > TRIES_MAX || now - sinceNanos > LIMIT_NANOS) {
            loop.reached(Limit.REDIRECTIONS);
            return false;
        }
        next = answer.to(); // also of MOVED: which keys a command has the server knows best
        asks = answer.kind() == NotExecuted.Kind.ASK;
        boolean atOnce = switch (answer.kind()) {
            case MOVED -> {
                ClusterMap map = loop.cluster();
                Endpoint to = answer.to();
                if (map != null && to != null) {
                    int version = map.version();
                    map.moved(answer.slot(), to);
                    if (version != map.version()) {
                        loop.clusterChanged();
                    }
                }
                loop.lookAgain();
                yield tries <= AT_ONCE_MAX;
            }
            case ASK -> tries <= AT_ONCE_MAX;
            case NO_SCRIPT, NOT_BELIEVED -> true;
            case TRY_AGAIN -> false;
            case DOWN -> {
                loop.lookAgain();
                yield false;
            }
            case TOO_LATE -> throw new IllegalStateException("it is not to be sent any more");
        };
        notBeforeNanos = atOnce ? now : now + TimeUnit.MILLISECONDS.toNanos(PAUSE_MS);
        if (!atOnce) {
            resumeInAMoment(session);
        }
        return true;
    }

    static void resumeInAMoment(ClientSession session) {
        session.loop().executor().schedule(() -> session.loop().resumeLater(session), PAUSE_MS, TimeUnit.MILLISECONDS);
    }
}
