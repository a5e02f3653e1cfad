package io.switchback.fleet;

/**
 * What one server is and how it is set up, at one moment.
 *
 * @param runId            changes with every start of the server
 * @param processId        of the server, on its own machine
 * @param maxMemoryBytes   0: no limit
 * @param systemMemoryBytes of the server's machine; 0 where it does not say
 * @param evictionPolicy   {@code maxmemory-policy}
 * @param databases        how many SELECT accepts
 * @param appendOnly       whether it keeps an append-only file: after a restart it then asks for a full copy, always
 * @param snapshots        whether it saves snapshots by itself ({@code save} is not empty)
 * @param configFile       "" where it was started without one: nothing set at run time then outlives a restart
 */
public record ServerInfo(
        ServerVersion version,
        String runId,
        long processId,
        long usedMemoryBytes,
        long maxMemoryBytes,
        long systemMemoryBytes,
        String evictionPolicy,
        int databases,
        boolean clusterMode,
        boolean appendOnly,
        boolean snapshots,
        String configFile) {

    /** Asks a server, with INFO and CONFIG GET. */
    public static ServerInfo read(ServerConnection connection) {
        InfoReport info = InfoReport.read(connection);
        return new ServerInfo(
                ServerVersion.read(connection),
                info.text("run_id"),
                info.number("process_id"),
                info.number("used_memory"),
                info.number("maxmemory", 0),
                info.number("total_system_memory", 0),
                info.text("maxmemory_policy", "noeviction"),
                ServerSettings.databases(connection),
                info.number("cluster_enabled", 0) == 1 || "cluster".equals(info.text("redis_mode", "")),
                info.number("aof_enabled", 0) == 1,
                !ServerSettings.read(connection, "save", "").isEmpty(),
                info.text("config_file", ""));
    }
}
