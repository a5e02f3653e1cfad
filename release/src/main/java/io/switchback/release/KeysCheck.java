package io.switchback.release;

import io.switchback.fleet.Keyspace;
import io.switchback.fleet.ServerConnection;
import io.switchback.release.FleetCheck.Findings;
import io.switchback.release.FleetCheck.Primary;
import io.switchback.release.ReleaseState.Side;
import io.switchback.sync.CarriedKeys;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** What is to be looked at where not all keys are carried, or not by their own names. Changes nothing. */
final class KeysCheck {
    private static final int PAGE_KEYS = 1000;

    private final MovingCache cache;
    private final CarriedKeys keys;
    private final ReleaseFile file;
    private final Findings findings;

    KeysCheck(MovingCache cache, ReleaseFile file, Findings findings) {
        this.cache = cache;
        this.keys = cache.carriedKeys();
        this.file = file;
        this.findings = findings;
    }

    /** Why a relay cannot do it; empty where it can. */
    static Optional<String> whyNoRelay(CarriedKeys keys) {
        return keys.isAll()
                ? Optional.empty()
                : Optional.of("keys are chosen by the release's file (" + keys
                        + "), and a relay passes the stream as it is, with all keys and their names");
    }

    void look(List<Primary> old, List<Primary> fresh) {
        if (keys.isAll()) {
            return;
        }
        databases(Side.OLD, old);
        databases(Side.NEW, fresh);
        if (!file.overwriteTarget()) {
            fresh.forEach(this::hasNoneOfThem);
        }
        findings.warn(
                "not all keys are carried as they are (" + keys + "): from the cutover on clients find no others, and"
                        + (keys.renames()
                                ? " these by their new names alone; a change of names is for clients that change theirs with"
                                        + " the cutover, and back with a rollback"
                                : " what they write to others stays at the new fleet"));
    }

    private void databases(Side side, List<Primary> primaries) {
        boolean cluster = cache.fleet(side).isCluster();
        int count = cluster ? 1 : primaries.getFirst().info().databases();
        List<Integer> missing =
                keys.databases().stream().filter(number -> number >= count).toList();
        if (!missing.isEmpty()) {
            findings.problem("keys.databases names " + missing + ", and fleet "
                    + cache.fleet(side).name()
                    + (cluster ? " is a cluster, which has database 0 alone" : " has " + count + " databases")
                    + "; name those that both fleets have");
        }
    }

    /** Looks at every key: what is there by the name of one that is carried would be thrown away. */
    private void hasNoneOfThem(Primary primary) {
        ServerConnection server = primary.server();
        for (int database : Keyspace.keysByDatabase(server).keySet()) {
            if (keys.hasDatabase(database)) {
                server.demand("SELECT", Integer.toString(database));
                hasNoneOfThem(server, database);
            }
        }
        server.demand("SELECT", "0");
    }

    private void hasNoneOfThem(ServerConnection server, int database) {
        CarriedKeys.Way carried = cache.carriedFrom(Side.NEW);
        Keyspace.Page page;
        String cursor = Keyspace.END;
        do {
            page = Keyspace.page(server, cursor, PAGE_KEYS);
            for (byte[] name : page.names()) {
                byte @Nullable [] old = carried.target(database, name);
                if (old != null) {
                    findings.problem(
                            server.endpoint() + " holds keys already by names that keys would be carried to, such as "
                                    + text(name) + " of database " + database + " (" + text(old)
                                    + " at the old fleet), and a copy would delete them; remove them, or say overwrite-target: true in the"
                                    + " release's file");
                    return;
                }
            }
            cursor = page.next();
        } while (!page.isLast());
    }

    private static String text(byte[] name) {
        return new String(name, StandardCharsets.UTF_8);
    }

    /** Of what is carried nobody knows how much memory it takes. */
    void room(List<Primary> old, List<Primary> fresh) {
        long used = old.stream().mapToLong(one -> one.info().usedMemoryBytes()).sum();
        long taken =
                fresh.stream().mapToLong(one -> one.info().usedMemoryBytes()).sum();
        long limit =
                fresh.stream().mapToLong(one -> one.info().maxMemoryBytes()).sum();
        boolean limited = fresh.stream().allMatch(one -> one.info().maxMemoryBytes() > 0);
        if (limited && limit - taken < used) {
            findings.warn(
                    "the new fleet has " + (limit - taken) + " bytes left under its maxmemory, and the old one uses "
                            + used + " for all of its keys; see that what is carried fits");
        }
    }
}
