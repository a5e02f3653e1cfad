package io.switchback.fleet;

import java.util.Optional;

/** One deployment that serves a cache, as the node's file names it. Standalone fleets only, so far. */
public record FleetSpec(String name, Endpoint endpoint, Optional<Credential> credential) {}
