package io.switchback.proxy;

import io.switchback.fleet.Endpoint;

/**
 * A node of Switchback as cluster clients are told of it.
 *
 * @param name the node's, by which it is the same for all
 * @param address where clients can reach it
 */
public record PresentedNode(String name, Endpoint address) {}
