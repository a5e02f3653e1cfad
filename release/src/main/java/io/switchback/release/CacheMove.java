package io.switchback.release;

/** One cache that a release moves, and the fleet that it moves to. */
public record CacheMove(String cache, String to) {}
