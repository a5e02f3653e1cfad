package io.switchback.bench.links;

import io.switchback.sync.LinkBase;
import io.switchback.testkit.Await;
import io.switchback.testkit.ChildProcesses;
import io.switchback.testkit.Ports;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Who has the links of one direction run, in a process that can be killed ({@link LinkProcess}), and remembers what they told, as the ledger does for a release. For one thread, beside
 * which one reads what the process says.
 */
final class LinkOwner implements AutoCloseable {
    static final Duration LIMIT = Duration.ofSeconds(90);

    private final Path folder;
    private final String kind;
    private final String name;
    private final CampaignFleet source;
    private final CampaignFleet target;
    private final List<CampaignFleet.Shard> shards;
    private final int port = Ports.free();
    /** Where no copy is to be made; what else is known from {@link #bases} alone. */
    private final boolean copies;

    private final Map<Integer, LinkBase> bases = new ConcurrentHashMap<>();
    private final BlockingQueue<String> answers = new LinkedBlockingQueue<>();
    private @Nullable Process process;
    private @Nullable Thread reader;
    private @Nullable BufferedWriter input;
    private boolean waits;
    private int starts;
    private int startsWithoutBase;
    private volatile boolean flows;
    private volatile boolean flowed;
    private volatile String stands = "";
    private volatile String broken = "";

    private LinkOwner(
            Path folder, String kind, String name, CampaignFleet source, CampaignFleet target, List<LinkBase> bases) {
        this.folder = folder;
        this.kind = kind;
        this.name = name;
        this.source = source;
        this.target = target;
        this.shards = source.shards();
        this.copies = bases.isEmpty();
        for (int i = 0; i < bases.size(); i++) {
            this.bases.put(i, bases.get(i));
        }
    }

    /** Links whose target is to be filled. */
    static LinkOwner copying(Path folder, String kind, String name, CampaignFleet source, CampaignFleet target) {
        return new LinkOwner(folder, kind, name, source, target, List.of());
    }

    /** Links that begin at these places, one for each shard of the source. */
    static LinkOwner from(
            Path folder, String kind, String name, CampaignFleet source, CampaignFleet target, List<LinkBase> bases) {
        return new LinkOwner(folder, kind, name, source, target, bases);
    }

    /** A relay whose base is told later ({@link #admit}). */
    static LinkOwner later(Path folder, String name, CampaignFleet source, CampaignFleet target) {
        LinkOwner owner = new LinkOwner(folder, "relay", name, source, target, List.of());
        owner.waits = true;
        return owner;
    }

    /** The name of a shard's link. */
    static String linkName(String name, CampaignFleet.Shard shard) {
        return shard.slots().isEmpty() ? name : name + "/" + shard.firstSlot();
    }

    /** Where a relay's target finds it. */
    int port() {
        return port;
    }

    boolean flows() {
        return flows;
    }

    /** Why a link cannot go on; empty while all can. */
    String broken() {
        return broken;
    }

    /** Whether the copies are complete, and known to be. */
    boolean isBased() {
        return bases.size() == shards.size();
    }

    /** How many processes began without knowing of a complete copy of every shard: each may ask a source for a snapshot. */
    int startsWithoutBase() {
        return startsWithoutBase;
    }

    void start() {
        starts++;
        if (!isBased() && !waits) {
            startsWithoutBase++;
        }
        flows = false;
        stands = "";
        Path order = folder.resolve(name + "." + starts + ".properties");
        Properties properties = order();
        try (var writer = Files.newBufferedWriter(order)) {
            properties.store(writer, null);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        List<String> command = new ArrayList<>(List.of(
                ProcessHandle.current().info().command().orElse("java"),
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-Xmx512m",
                "-Xshare:auto",
                "-XX:+AutoCreateSharedArchive",
                "-XX:SharedArchiveFile=" + LinkCampaign.sharedClasses(),
                "-cp",
                System.getProperty("java.class.path"),
                LinkProcess.class.getName(),
                order.toString()));
        try {
            Process started = new ProcessBuilder(command)
                    .redirectError(ProcessBuilder.Redirect.appendTo(
                            folder.resolve(name + ".log").toFile()))
                    .start();
            ChildProcesses.started(started);
            process = started;
            input = new BufferedWriter(new OutputStreamWriter(started.getOutputStream(), StandardCharsets.UTF_8));
            BufferedReader output =
                    new BufferedReader(new InputStreamReader(started.getInputStream(), StandardCharsets.UTF_8));
            reader = Thread.ofVirtual().start(() -> read(output));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private Properties order() {
        Properties order = new Properties();
        order.setProperty("kind", kind);
        order.setProperty("owner", Integer.toString(starts));
        order.setProperty("port", Integer.toString(port));
        source.write(order, "source");
        target.write(order, "target");
        order.setProperty("links", Integer.toString(shards.size()));
        for (int i = 0; i < shards.size(); i++) {
            order.setProperty("name." + i, linkName(name, shards.get(i)));
            order.setProperty("slots." + i, shards.get(i).slots());
            order.setProperty("start." + i, start(bases.get(i)));
        }
        return order;
    }

    private String start(@Nullable LinkBase base) {
        if (base == null) {
            return waits ? "later" : "copy";
        }
        // A link that copied has its mark at the target, one that did not has it once it has flowed.
        boolean marked = kind.equals("apply") && (copies || flowed);
        return (marked ? "again " : "from ") + LinkProcess.text(base);
    }

    private void read(BufferedReader output) {
        try (output) {
            String line = output.readLine();
            while (line != null) {
                heard(line);
                line = output.readLine();
            }
        } catch (IOException e) {
            // It was killed: what it said before has been read.
        }
        flows = false;
    }

    private void heard(String line) {
        String[] words = line.split(" ", -1);
        switch (words[0]) {
            case "flow" -> {
                flowed = true;
                flows = true;
            }
            case "stand" -> {
                flows = false;
                stands = line;
            }
            case "based" -> bases.put(Integer.parseInt(words[1]), LinkProcess.base(words[2]));
            case "id" ->
                bases.computeIfPresent(
                        Integer.parseInt(words[1]),
                        (shard, base) ->
                                new LinkBase(words[2], base.sourceOffset(), base.targetId(), base.targetOffset()));
            case "broken" -> broken = line;
            case "applied", "closed" -> answers.add(line);
            default -> {} // an archive of classes, say
        }
    }

    /** SIGKILL; returns when the process is gone and all that it said is known. */
    void kill() {
        Process running = process;
        if (running != null) {
            running.destroyForcibly();
            Await.until(LIMIT, "the links' process to be gone", () -> !running.isAlive());
            ended(running);
        }
    }

    private void ended(Process gone) {
        ChildProcesses.ended(gone);
        Thread reading = reader;
        if (reading != null) {
            Await.until(LIMIT, "what it said to be read", () -> !reading.isAlive());
        }
        process = null;
    }

    /** Waits until the process has begun with its links. */
    void awaitWord() {
        Await.until(LIMIT, "a first word of the links' process", () -> flows || !stands.isEmpty() || isGone());
    }

    /** Waits until all links flow. */
    void awaitFlow() {
        try {
            Await.until(LIMIT, "the links flow", () -> flows || !broken.isEmpty() || isGone());
        } catch (AssertionError e) {
            throw new AssertionError(e.getMessage() + "; they " + stands, e);
        }
        if (!broken.isEmpty()) {
            throw new AssertionError(name + ": " + broken);
        }
        if (isGone()) {
            throw new AssertionError(name + ": the links' process has ended: see " + folder.resolve(name + ".log"));
        }
    }

    private boolean isGone() {
        Process running = process;
        return running == null || !running.isAlive();
    }

    /** Waits until the target has what a shard has written up to there; what the target calls that place, where it counts for itself. */
    long awaitApplied(int shard, long offset) {
        String answer = ask("applied " + shard + " " + offset + " " + LIMIT.toSeconds());
        String[] words = answer.split(" ", 5);
        if (!words[2].equals("true")) {
            throw new AssertionError(name + " did not come to " + offset + " of shard " + shard + ": " + answer);
        }
        return Long.parseLong(words[3]);
    }

    void admit(LinkBase base) {
        bases.put(0, base);
        waits = false;
        tell("admit " + LinkProcess.text(base));
    }

    private String ask(String line) {
        answers.clear();
        tell(line);
        try {
            String answer = answers.poll(LIMIT.toSeconds() + 10, TimeUnit.SECONDS);
            if (answer == null) {
                throw new AssertionError(name + " did not answer to " + line);
            }
            return answer;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }

    private void tell(String line) {
        BufferedWriter writer = input;
        try {
            if (writer != null) {
                writer.write(line + "\n");
                writer.flush();
            }
        } catch (IOException e) {
            throw new UncheckedIOException(name + " does not hear", e);
        }
    }

    /** As its owner ends links: what was sent is applied and noted. */
    void end() {
        ask("close");
        Process ending = process;
        if (ending != null) {
            Await.until(LIMIT, "the links' process to end", () -> !ending.isAlive());
            ended(ending);
        }
    }

    @Override
    public void close() {
        kill();
    }
}
