package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.fleet.Endpoint;
import io.switchback.resp.KeySlot;
import org.jspecify.annotations.Nullable;

/**
 * MULTI or WATCH: the session gets a connection of its own, on which the server answers. In front of a cluster that is the shard of the keys that are watched;
 * MULTI is answered by Switchback there, since only its first command with keys says which shard it is for.
 */
final class BeginTransaction extends AskingOperation {
    private final byte[][] command;
    private final Retries retries;

    BeginTransaction(ClientSession session, byte[][] command) {
        super(session);
        this.command = command;
        this.retries = new Retries(session);
    }

    private boolean isMulti() {
        return command.length == 1;
    }

    @Override
    boolean isWithoutServer() {
        return isMulti() && session.loop().isSharded() && !session.transaction.watching;
    }

    @Override
    @Nullable
    BackendConnection connection() {
        if (isWithoutServer()) {
            session.transaction.open = true;
            finish(Wire.ok());
            return null;
        }
        if (!retries.isTime()) {
            return null;
        }
        if (session.loop().isSharded() && !isMulti()) {
            Endpoint asked = retries.next();
            session.ownAt(asked != null ? asked : session.lane().server(KeySlot.of(command[1])));
        }
        return session.own().get();
    }

    @Override
    @Nullable
    String failure() {
        return session.own().takeFailure();
    }

    @Override
    void send(BackendConnection connection) {
        if (retries.asks()) {
            session.ask(connection, Wire.command("ASKING"), 1, new Swallowed(session));
        }
        session.ask(connection, this, Wire.command(command), 1);
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        BackendConnection own = session.own().current();
        NotExecuted answer = own == null || !session.loop().isSharded() ? null : NotExecuted.read(reply, own.server);
        if (answer != null && retries.again(answer)) {
            askNext();
            return;
        }
        if (isError(reply)) {
            if (!session.needsOwnConnection()) {
                session.leaveOwnConnection(true);
            }
        } else if (command.length == 1) {
            session.transaction.open = true;
            session.transaction.placed = true;
        } else {
            session.transaction.watching = true;
        }
        finish(reply.retain());
    }

    @Override
    void lost(String why) {
        if (!repeat()) {
            super.lost(why);
        }
    }
}
