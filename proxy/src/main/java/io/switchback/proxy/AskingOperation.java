package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import org.jspecify.annotations.Nullable;

/**
 * An operation that waits until all before it is answered, then asks a server and makes the client's reply out of the
 * server's. States: waiting, asked, done.
 */
abstract class AskingOperation extends Operation {
    private boolean asked;
    private boolean done;
    private boolean repeated;

    AskingOperation(ClientSession session) {
        super(session);
    }

    @Override
    final boolean proceed() {
        if (done || asked) {
            return done;
        }
        if (waitsForQuiet() && !session.isQuiet()) {
            return false;
        }
        BackendConnection connection = connection();
        if (connection != null) {
            asked = true;
            send(connection);
            return done;
        }
        if (done) {
            return true;
        }
        String failure = failure();
        if (failure == null) {
            return false;
        }
        failed(failure);
        return true;
    }

    /** Whether all that the client has sent before is to be answered first. */
    boolean waitsForQuiet() {
        return true;
    }

    /** The connection to ask over; null where it is not there (yet). */
    abstract @Nullable BackendConnection connection();

    /** Why {@link #connection} gave none; null where it is still to come. */
    abstract @Nullable String failure();

    /**
     * Sends what is to be asked. Here and nowhere else, least of all where a reply comes in: only {@link #proceed} is never
     * called while the loop holds.
     */
    abstract void send(BackendConnection connection);

    /** There is no connection to ask over. */
    void failed(String failure) {
        session.loop().routeTraffic().notAnswered(1);
        session.refuse(failure, 1);
    }

    /** Gives the client its reply, which ends the operation. */
    final void finish(ByteBuf reply) {
        done = true;
        session.reply(reply);
    }

    /** It has been sent. */
    final boolean isAsked() {
        return asked;
    }

    /** The client has its reply. */
    final boolean isDone() {
        return done;
    }

    /** Ends the operation; the client has its reply. */
    final void finish() {
        done = true;
    }

    /** Asks once more; true if that has not been done before. */
    final boolean repeat() {
        if (repeated) {
            return false;
        }
        repeated = true;
        asked = false;
        return true;
    }

    /** Asks something else. */
    final void askNext() {
        asked = false;
    }

    @Override
    void lost(String why) {
        session.loop().routeTraffic().notAnswered(1);
        finish(Wire.error(session.lostMessage(why)));
    }

    static boolean isError(ByteBuf reply) {
        return reply.isReadable() && reply.getByte(reply.readerIndex()) == '-';
    }
}
