package io.switchback.testkit;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/**
 * Real ZooKeeper servers, each a process of its own with a folder of its own, on the loopback address only.
 *
 * <p>Members are numbered from 0. They tick every {@link #TICK}, so that a session timeout can be as short as two ticks and as long as twenty.
 * They write their log without forcing it to the disk where they need not: in tests processes are killed, not machines. For one thread at a
 * time, except that {@link #connect} may be used by any. All are killed when this process ends, whatever happens.
 */
public final class ZooKeeperEnsemble implements AutoCloseable {
    /** The servers' unit of time. */
    public static final Duration TICK = Duration.ofMillis(500);

    private static final String HOST = "127.0.0.1";
    private static final String MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
    private static final String LOG_FILE = "server.log";
    private static final int START_ATTEMPTS_MAX = 5;
    private static final int QUESTION_TIMEOUT_MS = 2_000;
    private static final Duration READY_LIMIT = Duration.ofSeconds(60);
    private static final Duration KILL_LIMIT = Duration.ofSeconds(20);

    private final List<Member> members;

    private ZooKeeperEnsemble(List<Member> members) {
        this.members = members;
    }

    /**
     * Starts an ensemble and returns once every member serves.
     *
     * @param size 1 or 3
     * @param folder its own, for folders and logs of the members
     */
    public static ZooKeeperEnsemble start(int size, Path folder) {
        return start(size, folder, false);
    }

    /** As {@link #start}; every member forces its log to the disk before it acknowledges a transaction, as one in use does. */
    public static ZooKeeperEnsemble startForcing(int size, Path folder) {
        return start(size, folder, true);
    }

    private static ZooKeeperEnsemble start(int size, Path folder, boolean forcing) {
        for (int attempt = 1; ; attempt++) {
            ZooKeeperEnsemble ensemble = prepared(size, folder.resolve("attempt-" + attempt), forcing);
            try {
                ensemble.members.forEach(Member::launch);
                ensemble.awaitAll();
                return ensemble;
            } catch (AssertionError | RuntimeException e) {
                ensemble.close();
                // Somebody may have taken a port between our look and our start.
                if (attempt == START_ATTEMPTS_MAX
                        || !String.valueOf(e.getMessage()).contains("Address already in use")) {
                    throw e;
                }
            }
        }
    }

    private static ZooKeeperEnsemble prepared(int size, Path folder, boolean forcing) {
        if (size != 1 && size != 3) {
            throw new IllegalArgumentException("An ensemble of " + size + " members: expected 1 or 3");
        }
        Set<Integer> ports = new LinkedHashSet<>();
        while (ports.size() < size * 3) {
            ports.add(Ports.free());
        }
        List<Integer> numbered = List.copyOf(ports);
        List<String> peers = new ArrayList<>();
        for (int i = 0; size > 1 && i < size; i++) {
            peers.add(
                    "server." + (i + 1) + "=" + HOST + ":" + numbered.get(size + i) + ":" + numbered.get(2 * size + i));
        }
        List<Member> members = new ArrayList<>();
        for (int i = 0; i < size; i++) {
            members.add(new Member(i, folder.resolve("member-" + i), numbered.get(i), peers, forcing));
        }
        return new ZooKeeperEnsemble(members);
    }

    /** Where the members are: {@code host:port,host:port}. */
    public String connect() {
        return members.stream().map(Member::address).collect(Collectors.joining(","));
    }

    /** Where one member is: {@code host:port}. */
    public String connect(int member) {
        return members.get(member).address();
    }

    /** The port of one member. */
    public int port(int member) {
        return members.get(member).port;
    }

    /** How many members there are, whether or not they run. */
    public int size() {
        return members.size();
    }

    /** The member that leads; the only one where there is one. Waits for one to be chosen. */
    public int leader() {
        int[] found = {-1};
        Await.until(READY_LIMIT, "a leader among " + connect(), () -> {
            for (Member member : members) {
                if (member.says("srvr").matches("(?s).*Mode: (leader|standalone).*")) {
                    found[0] = member.number;
                    return true;
                }
            }
            return false;
        });
        return found[0];
    }

    /** The number of a member that follows. */
    public int follower() {
        return (leader() + 1) % members.size();
    }

    /** Ends a member with SIGKILL, as a crash does, and waits until it is gone. */
    public void kill(int member) {
        members.get(member).kill();
    }

    /** Stops a member with SIGSTOP: its connections stay, and nothing is answered until {@link #resume}. */
    public void stop(int member) {
        Signals.send("STOP", members.get(member).process());
    }

    /** Lets a stopped member go on. */
    public void resume(int member) {
        Signals.send("CONT", members.get(member).process());
    }

    /** Starts a member again with its folder and ports; ends it first where it still runs. Does not wait until it serves. */
    public void restart(int member) {
        members.get(member).kill();
        members.get(member).launch();
    }

    /** Starts every member that does not run, lets every one go on that is stopped, waits until all serve. */
    public void heal() {
        for (Member member : members) {
            if (member.isAlive()) {
                resume(member.number);
            } else {
                member.launch();
            }
        }
        awaitAll();
    }

    /** What a member has logged since it was first started. */
    public String log(int member) {
        return members.get(member).log();
    }

    @Override
    public void close() {
        for (Member member : members) {
            member.kill();
            ChildProcesses.delete(member.folder);
        }
    }

    private void awaitAll() {
        for (Member member : members) {
            Await.until(READY_LIMIT, member + " serves:\n" + member.log(), () -> {
                if (!member.isAlive()) {
                    throw new IllegalStateException(member + " has ended:\n" + member.log());
                }
                return member.says("srvr").contains("Mode: ");
            });
        }
    }

    private static final class Member {
        private final int number;
        private final Path folder;
        private final int port;
        private final List<Process> processes = new ArrayList<>();

        Member(int number, Path folder, int port, List<String> peers, boolean forcing) {
            this.number = number;
            this.folder = folder;
            this.port = port;
            try {
                Files.createDirectories(folder.resolve("data"));
                ChildProcesses.deleteAtExit(folder);
                Files.writeString(folder.resolve("data/myid"), (number + 1) + "\n");
                Files.write(folder.resolve("zoo.cfg"), settings(peers, forcing));
            } catch (IOException e) {
                throw new UncheckedIOException("The folder of a ZooKeeper server cannot be made", e);
            }
        }

        private List<String> settings(List<String> peers, boolean forcing) {
            List<String> settings = new ArrayList<>(List.of(
                    "tickTime=" + TICK.toMillis(),
                    "initLimit=20",
                    "syncLimit=6",
                    "dataDir=" + folder.resolve("data").toAbsolutePath(),
                    "clientPortAddress=" + HOST,
                    "clientPort=" + port,
                    "maxClientCnxns=0",
                    "admin.enableServer=false",
                    "4lw.commands.whitelist=srvr",
                    "forceSync=" + (forcing ? "yes" : "no"),
                    "preAllocSize=1024"));
            settings.addAll(peers);
            return settings;
        }

        String address() {
            return HOST + ":" + port;
        }

        Process process() {
            return processes.getLast();
        }

        boolean isAlive() {
            return !processes.isEmpty() && process().isAlive();
        }

        void launch() {
            String java = ProcessHandle.current()
                    .info()
                    .command()
                    .orElse(System.getProperty("java.home") + File.separator + "bin" + File.separator + "java");
            try {
                Process launched = new ProcessBuilder(
                                java,
                                "-Xmx128m",
                                "-XX:+UseSerialGC",
                                "-XX:TieredStopAtLevel=1",
                                "-cp",
                                System.getProperty("java.class.path"),
                                MAIN,
                                folder.resolve("zoo.cfg").toString())
                        .directory(folder.toFile())
                        .redirectErrorStream(true)
                        .redirectOutput(ProcessBuilder.Redirect.appendTo(
                                folder.resolve(LOG_FILE).toFile()))
                        .start();
                ChildProcesses.started(launched);
                processes.add(launched);
            } catch (IOException e) {
                throw new UncheckedIOException(this + " could not be started", e);
            }
        }

        void kill() {
            if (processes.isEmpty()) {
                return;
            }
            process().destroyForcibly();
            try {
                process().waitFor(KILL_LIMIT.toMillis(), TimeUnit.MILLISECONDS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            ChildProcesses.ended(process());
        }

        String log() {
            Path log = folder.resolve(LOG_FILE);
            try {
                return Files.exists(log) ? Files.readString(log, StandardCharsets.ISO_8859_1) : "";
            } catch (IOException e) {
                throw new UncheckedIOException("The log of " + this + " cannot be read", e);
            }
        }

        /** The answer to a word of four letters; empty where there is none. */
        String says(String word) {
            try (Socket socket = new Socket()) {
                socket.setSoTimeout(QUESTION_TIMEOUT_MS);
                socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), QUESTION_TIMEOUT_MS);
                socket.getOutputStream().write(word.getBytes(StandardCharsets.US_ASCII));
                socket.shutdownOutput();
                return new String(socket.getInputStream().readAllBytes(), StandardCharsets.US_ASCII);
            } catch (IOException e) {
                return ""; // it is down, or stopped
            }
        }

        @Override
        public String toString() {
            return "ZooKeeper server " + number + " at " + address();
        }
    }
}
