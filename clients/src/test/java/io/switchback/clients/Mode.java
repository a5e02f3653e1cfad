package io.switchback.clients;

import java.util.Locale;

/** As what a library takes the node. */
enum Mode {
    ONE_SERVER,
    /** One of the sentinels, and the primary that they name. */
    SENTINELS,
    /** A node of a cluster. */
    CLUSTER;

    /** Behind the name of who uses it so. */
    String suffix() {
        return this == ONE_SERVER ? "" : "-" + name().toLowerCase(Locale.ROOT);
    }
}
