package io.switchback.server;

import io.switchback.testkit.ServerBinary;
import org.junit.jupiter.api.condition.EnabledIf;

/** The same where the links apply, since the first move is to an older version. */
@EnabledIf("io.switchback.server.KnownTrapsOfApplyTest#thereAreTwoVersions")
final class FleetLossOfApplyTest extends FleetLossTest {
    @Override
    ServerBinary old() {
        return ServerBinary.named("valkey-9.1").orElseThrow();
    }

    @Override
    ServerBinary fresh() {
        return ServerBinary.named("redis-7.0").orElseThrow();
    }
}
