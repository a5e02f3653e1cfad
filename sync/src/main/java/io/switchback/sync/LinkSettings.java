package io.switchback.sync;

import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.dialect.StreamTranslator;
import java.net.InetAddress;

/**
 * What a link is to do.
 *
 * @param name        of the link, in messages and in its marker's key; the same after a restart
 * @param bindAddress where the target can reach this machine
 * @param port        of the face; 0 for any. A node that starts again gives the one that its targets were told.
 * @param secret      the password that the target must show ({@code masterauth})
 * @param translator  from the source's dialect to the target's
 */
public record LinkSettings(
        String name,
        FleetSpec source,
        FleetSpec target,
        InetAddress bindAddress,
        int port,
        String secret,
        LinkStart start,
        StreamTranslator translator) {
    @Override
    public String toString() {
        return "LinkSettings[" + name + ", " + source.name() + " to " + target.name() + ", " + start + "]";
    }
}
