package io.switchback.proxy;

import org.HdrHistogram.Histogram;

/**
 * Commands that one fleet answered, since the proxy was opened: whoever wants a span of time takes the difference of two.
 *
 * @param requests commands answered
 * @param errors those answered by an error
 * @param sumNanos the sum of the response times, from sending to the end of the reply
 * @param latencyMicros their distribution in microseconds; a copy
 */
public record FleetTraffic(long requests, long errors, long sumNanos, Histogram latencyMicros) {}
