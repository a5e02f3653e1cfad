package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.fleet.Endpoint;
import java.util.Arrays;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Which of the commands that a client has sent at once go to which shard: what is put together while they are looked at one after the other, and sent by {@link ClusterLane} before anything
 * else happens. Commands for one key are of one slot, so of one server, and keep their order; between servers there is none anyway.
 *
 * <p>One for each event loop, which owns it; made for one client's commands after the other.
 */
final class ShardBatch {
    /** More are sent by several batches. */
    static final int COMMANDS_MAX = 1024;

    /** Commands of one batch go to so many servers at most. */
    static final int SERVERS_MAX = 64;

    private final @Nullable Endpoint[] endpoints = new Endpoint[SERVERS_MAX];
    private final @Nullable BackendConnection[] connections = new BackendConnection[SERVERS_MAX];
    private final int[] commandsOf = new int[SERVERS_MAX];
    private final int[] bytesOf = new int[SERVERS_MAX];
    private int servers;

    private final byte[] serverOf = new byte[COMMANDS_MAX];
    private final int[] endOf = new int[COMMANDS_MAX];
    private int commands;
    /** Of the command that is looked at. */
    private int last;

    /** Its first command is for that server, if for any. */
    void begin(@Nullable Endpoint server) {
        Arrays.fill(connections, 0, servers, null);
        servers = 1;
        endpoints[0] = server;
        commandsOf[0] = 0;
        bytesOf[0] = 0;
        commands = 0;
        last = 0;
    }

    boolean isFull() {
        return commands == COMMANDS_MAX;
    }

    /** Whether the command before was for the same server. */
    boolean isForLast(Endpoint server) {
        return server.equals(endpoints[last]);
    }

    /** Whether the server is one of those that commands are for already. */
    boolean goesOnWith(Endpoint server) {
        for (int i = 0; i < servers; i++) {
            if (server.equals(endpoints[i])) {
                last = i;
                return true;
            }
        }
        return false;
    }

    /** Another server; false where there are too many. */
    boolean add(Endpoint server, BackendConnection connection) {
        if (servers == SERVERS_MAX) {
            return false;
        }
        endpoints[servers] = server;
        connections[servers] = connection;
        commandsOf[servers] = 0;
        bytesOf[servers] = 0;
        last = servers;
        servers++;
        return true;
    }

    /** The command that was looked at belongs to it, and is of so many bytes. */
    void took(int begin, int end) {
        serverOf[commands] = (byte) last;
        endOf[commands] = end;
        commands++;
        commandsOf[last]++;
        bytesOf[last] += end - begin;
    }

    boolean isConnected() {
        return connections[0] != null;
    }

    void connected(BackendConnection first) {
        connections[0] = first;
    }

    int servers() {
        return servers;
    }

    int commands() {
        return commands;
    }

    int serverOf(int command) {
        return serverOf[command];
    }

    int commandsFor(int server) {
        return commandsOf[server];
    }

    BackendConnection connection(int server) {
        return Objects.requireNonNull(connections[server]);
    }

    /** One server's commands, copied out of all, which begin at {@code start}. */
    ByteBuf commandsFor(int server, ByteBuf in, int start) {
        ByteBuf bytes = in.alloc().buffer(bytesOf[server]);
        int begin = start;
        int copied = 0; // consecutive ones are copied at once
        for (int i = 0; i < commands; i++) {
            if (serverOf[i] == server) {
                copied += endOf[i] - begin;
            } else if (copied > 0) {
                bytes.writeBytes(in, begin - copied, copied);
                copied = 0;
            }
            begin = endOf[i];
        }
        if (copied > 0) {
            bytes.writeBytes(in, begin - copied, copied);
        }
        return bytes;
    }
}
