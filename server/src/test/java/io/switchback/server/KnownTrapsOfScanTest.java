package io.switchback.server;

import io.switchback.testkit.RealServer;
import io.switchback.testkit.SwitchbackUser;

/** The same traps where the servers let nobody follow them, so that the links scan. */
final class KnownTrapsOfScanTest extends KnownTrapsTest {
    @Override
    void set(RealServer server) {
        server.call(
                "ACL",
                "SETUSER",
                SwitchbackUser.RELAY.name(),
                "-psync",
                "-replconf",
                "-config",
                "+@write",
                "+@scripting",
                "+asking");
    }

    /** Keys come by their states, one later than the source shows them. */
    @Override
    boolean followerIsRightAtEveryMoment() {
        return false;
    }
}
