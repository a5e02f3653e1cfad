package io.switchback.ledger;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Where things lie in an ensemble. Pure.
 *
 * <pre>
 * root/format              JSON: the format's number and the ledger's id; written once
 * root/changes             empty; its version counts the transactions that changed something
 * root/entries/a/b=        the entry a/b: the equals sign, which no path can hold, tells it from
 * root/entries/a/b         the folder of entries below it; a container, which the ensemble removes some time after it is empty
 * root/presence/NAME       ephemeral: the value that was announced under the name
 * root/names/NAME          empty; its version is the number of the latest announcement of the name
 * root/sessions/ID         ephemeral, the fence of a session: its version counts that session's transactions
 * </pre>
 *
 * @param hosts as ZooKeeper's own connect string has them, {@code host:port,host:port}
 */
record ZooKeeperLayout(String hosts, String root) {
    /** So that a transaction at all its limits stays below what a server takes in one request ({@code jute.maxbuffer}, 1 MiB). */
    static final int ROOT_CHARACTERS_MAX = 128;

    static final String DEFAULT_ROOT = "/switchback";

    private static final Pattern CONNECT =
            Pattern.compile("([^/,\\s]+:[0-9]{1,5}(?:,[^/,\\s]+:[0-9]{1,5})*)((?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*)/?");
    private static final char ENTRY = '=';

    /** @param connect {@code host:port,host:port/root}; without a root it is {@link #DEFAULT_ROOT} */
    static ZooKeeperLayout of(String connect) {
        Matcher matcher = CONNECT.matcher(connect);
        if (!matcher.matches()) {
            throw new IllegalArgumentException(
                    "\"" + connect + "\" does not say where a ledger is: expected host:port,host:port/folder");
        }
        String root = matcher.group(2).isEmpty() ? DEFAULT_ROOT : matcher.group(2);
        if (root.length() > ROOT_CHARACTERS_MAX) {
            throw Limits.limit("The folder of a ledger is " + root.length() + " characters long, more than "
                    + ROOT_CHARACTERS_MAX);
        }
        return new ZooKeeperLayout(matcher.group(1), root);
    }

    String format() {
        return root + "/format";
    }

    String changes() {
        return root + "/changes";
    }

    String entries() {
        return root + "/entries";
    }

    String presence() {
        return root + "/presence";
    }

    String names() {
        return root + "/names";
    }

    String sessions() {
        return root + "/sessions";
    }

    String entry(String path) {
        return entries() + "/" + path + ENTRY;
    }

    /** Of the entries below {@code path/}. */
    String folder(String path) {
        return entries() + "/" + path;
    }

    String presence(String name) {
        return presence() + "/" + name;
    }

    String name(String name) {
        return names() + "/" + name;
    }

    String session(long id) {
        return sessions() + "/" + Long.toHexString(id);
    }

    /** The folders that must be there before an entry can be, the outermost first. */
    List<String> foldersOf(String path) {
        List<String> folders = new ArrayList<>();
        for (int slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
            folders.add(folder(path.substring(0, slash)));
        }
        return folders;
    }

    /** The root and what is above it, the outermost first. */
    List<String> rootFolders() {
        List<String> folders = new ArrayList<>();
        for (int slash = root.indexOf('/', 1); slash >= 0; slash = root.indexOf('/', slash + 1)) {
            folders.add(root.substring(0, slash));
        }
        folders.add(root);
        return folders;
    }

    static boolean isEntry(String znode) {
        return znode.charAt(znode.length() - 1) == ENTRY;
    }

    /** The path of the entry that lies at {@code znode}. */
    String pathOf(String znode) {
        return znode.substring(entries().length() + 1, znode.length() - 1);
    }

    /** What watchers of the ledger call what has changed at {@code znode}; empty where it concerns no one. */
    Optional<String> watchedPathOf(String znode) {
        if (znode.equals(presence()) || znode.startsWith(presence() + "/")) {
            return Optional.of(Ledger.PRESENCE);
        }
        return znode.startsWith(entries() + "/") && isEntry(znode) ? Optional.of(pathOf(znode)) : Optional.empty();
    }
}
