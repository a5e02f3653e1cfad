package io.switchback.proxy;

import java.util.concurrent.CompletionStage;

/**
 * Has the last word on a new connection to a fleet, once it is connected and authenticated and before it carries a client's command.
 *
 * <p>It is what lets a node be fenced that does not answer: whoever leaves the fleet kills the connections that there are, and
 * one that comes later finds here that the route has changed. The other way round, the look first and then the
 * connection, a node that stalls in between would defeat the kill.
 */
@FunctionalInterface
public interface RouteCheck {
    /**
     * Whether commands may go to {@code route} over a connection that stands already: empty, or why not, and then it is asked
     * again. Called on event loops, must not block. What fails counts as a no.
     */
    CompletionStage<String> mayCarry(BackendRoute route);
}
