package io.switchback.proxy;

import io.switchback.fleet.FleetSpec;

/** Where a cache's commands go, and since which switch: the epoch only grows. */
public record BackendRoute(FleetSpec fleet, long epoch) {}
