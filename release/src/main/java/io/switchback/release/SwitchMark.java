package io.switchback.release;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ReservedKeys;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.Topology;
import io.switchback.resp.Reply;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The message by which subscribers know where a switch is, published at a fleet so that every subscriber there hears it behind all that was published before, and before all
 * that will be published afterwards.
 *
 * <p>At one server that is so by itself. In a cluster a message comes to the other nodes over one connection from each (the cluster bus), and a message from
 * another node may overtake it. So {@link #settle} first sends something from every primary to every other one, and waits until it has come: what was published before
 * has come then too. What is published to shard channels does not go that way: who has subscribed to one hears it at the node where it is published. So {@link #publish} publishes the mark at every primary itself:
 * there it stands behind all that the primary has answered, and before all that it will, however slow the bus is.
 *
 * <p>For one thread.
 */
final class SwitchMark implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(SwitchMark.class);
    /** A bus that is slower than this would cost clients more than messages out of order do. */
    private static final Duration BUS_MAX = Duration.ofMillis(100);

    private final FleetSpec fleet;
    private final List<ServerConnection> publishers;
    private final List<ServerConnection> listeners = new ArrayList<>();
    private final Environment environment;

    /** @param publishers a connection to each primary, which stay their owner's */
    SwitchMark(FleetSpec fleet, List<ServerConnection> publishers, Environment environment) {
        this.fleet = fleet;
        this.publishers = List.copyOf(publishers);
        this.environment = environment;
    }

    /** So that {@link #settle} can hear how far the cluster bus is; of no use where there is none. */
    void listen(Topology topology) {
        if (topology instanceof Topology.Sharded(List<Topology.Shard> shards, var _) && shards.size() > 1) {
            try {
                for (Endpoint primary : topology.primaries()) {
                    ServerConnection listener =
                            ServerConnection.open(primary, fleet.credential(), fleet.tls(), BUS_MAX);
                    listeners.add(listener);
                    listener.demand("SUBSCRIBE", ReservedKeys.SWITCH_CHANNEL);
                }
            } catch (FleetException e) {
                LOG.warn(
                        "fleet {}: subscribers may hear messages out of order in a switch: {}",
                        fleet.name(),
                        e.getMessage());
                close();
            }
        }
    }

    /** Whether the fleet's user may publish there at all. Subscribers are told where a switch is, not whether it may be made. */
    boolean canPublish() {
        return published(publishers.getFirst(), "");
    }

    private boolean published(ServerConnection publisher, String message) {
        Reply reply = publisher.call("PUBLISH", ReservedKeys.SWITCH_CHANNEL, message);
        if (reply.isError()) {
            LOG.warn(
                    "{} does not let itself be told about switches, so subscribers may miss messages in one; grant its user the channel {}: {}",
                    publisher.endpoint(),
                    ReservedKeys.SWITCH_CHANNEL,
                    reply.text());
        }
        return !reply.isError();
    }

    /** What was published before has come to every primary. */
    void settle(String mark) {
        if (listeners.isEmpty()) {
            return;
        }
        await(AtOnce.ask(publishers, publisher -> {
            String message = "before " + mark + " " + publisher.endpoint();
            publisher.call("PUBLISH", ReservedKeys.SWITCH_CHANNEL, message);
            return message;
        }));
    }

    /** Every primary has it, once this returns. */
    void publish(String mark) {
        AtOnce.tell(publishers, publisher -> published(publisher, mark));
    }

    /** Not for ever: what is lost otherwise is the order of some messages. */
    private void await(List<String> messages) {
        Deadline enough = Deadline.in(environment, BUS_MAX);
        try {
            for (ServerConnection listener : listeners) {
                List<String> missing = new ArrayList<>(messages);
                while (!missing.isEmpty() && !enough.passed()) {
                    if (listener.next() instanceof Reply.Array(List<Reply> message) && message.size() == 3) {
                        missing.remove(message.getLast().text());
                    }
                }
            }
        } catch (FleetException e) {
            LOG.warn("fleet {}: subscribers may miss messages in a switch: {}", fleet.name(), e.getMessage());
        }
    }

    @Override
    public void close() {
        listeners.forEach(ServerConnection::close);
        listeners.clear();
    }
}
