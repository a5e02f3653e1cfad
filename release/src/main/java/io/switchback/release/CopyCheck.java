package io.switchback.release;

import io.switchback.fleet.InfoReport;
import io.switchback.fleet.Keyspace;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerVersion;
import io.switchback.release.FleetCheck.Findings;
import io.switchback.release.FleetCheck.Primary;
import io.switchback.resp.Reply;
import io.switchback.sync.source.CopyLimits;
import io.switchback.sync.source.SourceCopy;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * Whether servers can hold what is written while they are copied slowly: what a server writes behind a snapshot that is not taken yet lies in its memory, up to a limit at which it
 * cuts the copy off. Changes nothing.
 */
final class CopyCheck {
    private static final String LIMIT = "client-output-buffer-limit";
    /** Since then a limit below the size of the backlog counts as that size: both are the same memory. */
    private static final int ONE_BUFFER_SINCE_REDIS = 7;

    private static final long KIBIBYTE = 1024;
    private static final double MEBIBYTE = 1 << 20;

    private final CopyLimits limits;
    private final LinkKind kind;
    private final Findings findings;

    CopyCheck(CopyLimits limits, LinkKind kind, Findings findings) {
        this.limits = limits;
        this.kind = kind;
        this.findings = findings;
    }

    /** When a server cuts a replica off: at once above {@code hardBytes}, above {@code softBytes} after so many seconds; 0: never. */
    record BufferLimit(long hardBytes, long softBytes, long softSeconds) {
        /** From the answer to CONFIG GET; none of it where replicas are not in it. */
        static BufferLimit parse(String setting) {
            String[] words = setting.trim().split("\\s+", -1);
            for (int i = 0; i + 3 < words.length; i += 4) {
                if (words[i].equals("replica") || words[i].equals("slave")) {
                    return new BufferLimit(
                            Long.parseLong(words[i + 1]), Long.parseLong(words[i + 2]), Long.parseLong(words[i + 3]));
                }
            }
            return new BufferLimit(0, 0, 0);
        }

        BufferLimit atLeast(long bytes) {
            return new BufferLimit(
                    hardBytes == 0 ? 0 : Math.max(hardBytes, bytes),
                    softBytes == 0 ? 0 : Math.max(softBytes, bytes),
                    softSeconds);
        }

        /** The bytes at which a copy of that length is cut off, where so much is written in each second of it. */
        OptionalLong reachedBy(double seconds, long writtenPerSecond, long heldElsewhere) {
            double held = seconds * writtenPerSecond - heldElsewhere;
            if (hardBytes > 0 && held > hardBytes) {
                return OptionalLong.of(hardBytes);
            }
            boolean forTooLong = held - softBytes > (double) softSeconds * writtenPerSecond;
            return softBytes > 0 && forTooLong ? OptionalLong.of(softBytes) : OptionalLong.empty();
        }
    }

    void look(List<Primary> sources) {
        if (limits.equals(CopyLimits.NONE) || kind == LinkKind.SCAN) {
            return; // who is walked over holds nothing for the one who walks
        }
        if (kind == LinkKind.RELAY && limits.keysPerSecond().isPresent()) {
            findings.warn("copy.keys-per-second limits nothing here: the copy goes over a relay, which passes bytes and"
                    + " does not see keys; say mib-per-second");
        }
        sources.forEach(this::look);
    }

    private void look(Primary source) {
        ServerConnection server = source.server();
        InfoReport info = InfoReport.read(server);
        double seconds = seconds(SourceCopy.dataBytes(info), keys(server));
        // Of all that clients send, since nobody counts the writes alone: never too little.
        long written = (long) (Double.parseDouble(info.text("instantaneous_input_kbps", "0")) * KIBIBYTE);
        boolean hasTwo = hasTwoChannels(server);
        BufferLimit limit = BufferLimit.parse(setting(server, LIMIT).orElse(""));
        if (sharesItsBacklog(source.info().version())) {
            limit = limit.atLeast(
                    setting(server, "repl-backlog-size").map(Long::parseLong).orElse(0L));
        }
        limit.reachedBy(seconds, written, hasTwo ? SourceCopy.STREAM_HELD_BYTES_MAX : 0)
                .ifPresent(
                        bytes -> findings.warn(
                                source.endpoint() + " holds what is written while it is copied, and"
                                        + " may cut the copy off, which then begins again: its data may take "
                                        + (long) Math.ceil(seconds)
                                        + " s at the rate that the release's file allows, its clients send it "
                                        + mebibytes(written) + " MiB a second now, and " + mebibytes(bytes)
                                        + " MiB is its limit (client-output-buffer-limit replica); raise that, let the copy go faster, or "
                                        + (hasTwo
                                                ? "copy when less is written"
                                                : "have the server send both at once (repl-diskless-sync with"
                                                        + " dual-channel-replication-enabled of Valkey 8.0, or repl-rdb-channel of Redis 8.0)")));
    }

    /** For how long the copy may take; where only the source's latency limits it, as long as that can make it. */
    private double seconds(long dataBytes, long keys) {
        long bytesPerSecond = limits.sourceLatency().isPresent()
                ? CopyLimits.BYTES_PER_SECOND_MIN
                : limits.bytesPerSecond().orElse(Long.MAX_VALUE);
        double byBytes = Math.max(0, dataBytes) / (double) bytesPerSecond;
        double byKeys = kind == LinkKind.APPLY && limits.keysPerSecond().isPresent()
                ? keys / (double) limits.keysPerSecond().getAsLong()
                : 0;
        return Math.max(byBytes, byKeys);
    }

    private static long keys(ServerConnection server) {
        return Keyspace.keysByDatabase(server).values().stream()
                .mapToLong(Long::longValue)
                .sum();
    }

    private static boolean sharesItsBacklog(ServerVersion version) {
        return version.product() == ServerVersion.Product.VALKEY || version.major() >= ONE_BUFFER_SINCE_REDIS;
    }

    private static boolean hasTwoChannels(ServerConnection server) {
        return isOn(server, "repl-diskless-sync")
                && (isOn(server, "dual-channel-replication-enabled") || isOn(server, "repl-rdb-channel"));
    }

    private static boolean isOn(ServerConnection server, String name) {
        return setting(server, name).filter("yes"::equals).isPresent();
    }

    /** Empty where the server has no such setting. */
    private static Optional<String> setting(ServerConnection server, String name) {
        return server.call("CONFIG", "GET", name) instanceof Reply.Array(List<Reply> pair) && pair.size() == 2
                ? Optional.of(pair.get(1).text())
                : Optional.empty();
    }

    private static String mebibytes(long bytes) {
        return String.format(Locale.ROOT, "%.1f", bytes / MEBIBYTE);
    }
}
