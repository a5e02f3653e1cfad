package io.switchback.fleet.dialect;

import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Says of a client's command on the fleet in use whether its effect can be carried to the older fleet, while a way back is
 * open. Immutable, for any thread; cheap, since it is asked for every command of the data plane.
 */
public final class WayBackGuard {
    private final Dialect inUse;
    private final Dialect old;

    private WayBackGuard(Dialect inUse, Dialect old) {
        this.inUse = inUse;
        this.old = old;
    }

    /** The guard for a way back from {@code inUse} to {@code old}. */
    public static WayBackGuard between(Dialect inUse, Dialect old) {
        return new WayBackGuard(inUse, old);
    }

    /** Whether {@link #refusal} is null for every command, so that nobody needs to ask. */
    public boolean refusesNothing() {
        return inUse.version().equals(old.version());
    }

    /**
     * Null: allowed. Otherwise the text of an error that names the command or argument, the fleet that does not know it, and
     * what to do. {@code command}: the name and its arguments.
     */
    public @Nullable String refusal(byte[][] command) {
        String name = ServerCommands.nameOf(command);
        Optional<CommandShape> here = inUse.commands().shape(name);
        if (here.isPresent()
                && here.get().writes()
                && old.commands().shape(name).isEmpty()) {
            return name + " is unknown to " + old.version()
                    + ", to which the way back is open; finish the release first";
        }
        return null;
    }
}
