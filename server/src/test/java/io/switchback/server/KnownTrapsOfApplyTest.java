package io.switchback.server;

import io.switchback.testkit.ServerBinary;
import org.junit.jupiter.api.condition.EnabledIf;

/** The same traps where the links apply: the first move is to an older version, which could follow no relay. */
@EnabledIf("thereAreTwoVersions")
final class KnownTrapsOfApplyTest extends KnownTrapsTest {
    static boolean thereAreTwoVersions() {
        return ServerBinary.named("valkey-9.1").isPresent()
                && ServerBinary.named("redis-7.0").isPresent();
    }

    @Override
    ServerBinary old() {
        return ServerBinary.named("valkey-9.1").orElseThrow();
    }

    @Override
    ServerBinary fresh() {
        return ServerBinary.named("redis-7.0").orElseThrow();
    }

    /** What a link finds to have met a key that was gone already, it copies again from its source (docs/apply.md, "Times to live"). */
    @Override
    boolean followerIsRightAtEveryMoment() {
        return false;
    }
}
