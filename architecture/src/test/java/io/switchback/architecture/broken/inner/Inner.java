package io.switchback.architecture.broken.inner;

import io.switchback.architecture.broken.BrokenManager;

/** Knows the package that knows it. */
public record Inner(BrokenManager outer) {}
