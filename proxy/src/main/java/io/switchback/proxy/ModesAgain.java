package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.resp.Reply;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Says {@link ConnectionModes} anew, on another connection. The client gets no answer. A server that does not know one does without: no
 * reply is another one for that.
 */
final class ModesAgain extends AskingOperation {
    private static final Logger LOG = LoggerFactory.getLogger(ModesAgain.class);

    ModesAgain(ClientSession session) {
        super(session);
    }

    @Override
    @Nullable
    BackendConnection connection() {
        return session.own().get();
    }

    @Override
    @Nullable
    String failure() {
        return session.own().takeFailure();
    }

    @Override
    void send(BackendConnection connection) {
        session.ask(
                connection, this, session.modes.again(), session.modes.names().size());
    }

    @Override
    void replied(Run run, ByteBuf replies) {
        List<String> names = session.modes.names();
        boolean anyIsKnown = false;
        Reply[] read = FilteringOperation.read(replies, run.commands);
        for (int i = 0; i < read.length; i++) {
            if (read[i].isError()) {
                withoutIt(names.get(i), read[i].text());
            } else {
                anyIsKnown = true;
            }
        }
        session.modes.placed(anyIsKnown);
        if (!session.needsOwnConnection()) {
            session.leaveOwnConnection(true);
        }
        finish();
    }

    private void withoutIt(String mode, String why) {
        LOG.info(
                "client {} goes on at fleet {} without CLIENT {}: {}",
                session.address(),
                session.loop().route().fleet().name(),
                mode,
                why);
    }

    @Override
    void failed(String failure) {
        session.modes.names().forEach(mode -> withoutIt(mode, failure));
        session.modes.placed(false);
    }

    @Override
    void lost(String why) {
        finish(); // the session finds that they must be said, and begins another one
    }
}
