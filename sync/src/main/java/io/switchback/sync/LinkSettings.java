package io.switchback.sync;

import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.dialect.StreamTranslator;
import io.switchback.sync.source.CopyLimits;
import java.net.InetAddress;

/**
 * What a link is to do.
 *
 * @param name        of the link, in messages and in its marker's key; the same after a restart
 * @param bindAddress where the target can reach this machine
 * @param port        of the face; 0 for any. A node that starts again gives the one that its targets were told.
 * @param secret      the password that the target must show ({@code masterauth})
 * @param translator  from the source's dialect to the target's
 * @param copy        how fast it may copy
 */
public record LinkSettings(
        String name,
        FleetSpec source,
        FleetSpec target,
        InetAddress bindAddress,
        int port,
        String secret,
        LinkStart start,
        StreamTranslator translator,
        CopyLimits copy) {
    /** Of a link that copies as fast as both servers can. */
    public LinkSettings(
            String name,
            FleetSpec source,
            FleetSpec target,
            InetAddress bindAddress,
            int port,
            String secret,
            LinkStart start,
            StreamTranslator translator) {
        this(name, source, target, bindAddress, port, secret, start, translator, CopyLimits.NONE);
    }

    @Override
    public String toString() {
        return "LinkSettings[" + name + ", " + source.name() + " to " + target.name() + ", " + start + "]";
    }
}
