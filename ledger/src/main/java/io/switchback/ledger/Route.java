package io.switchback.ledger;

/** Where a cache's traffic goes. {@code epoch} is 1 for the first route of a cache and only grows. */
public record Route(String fleet, long epoch) {}
