package io.switchback.sync.verify;

import java.time.Duration;
import java.util.Optional;

/**
 * How far it is.
 *
 * @param keysSeen of both sides, each looked at once
 * @param keysTotal of both sides, by DBSIZE at the start; more may come
 * @param left at the rate so far; empty at the start
 */
public record VerificationProgress(long keysSeen, long keysTotal, Optional<Duration> left, long differenceCount) {}
