package io.switchback.bench.links;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.SlotSet;
import io.switchback.fleet.Token;
import io.switchback.fleet.dialect.Dialect;
import io.switchback.fleet.dialect.StreamTranslator;
import io.switchback.sync.BackupManifest;
import io.switchback.sync.Link;
import io.switchback.sync.LinkBase;
import io.switchback.sync.LinkBreak;
import io.switchback.sync.LinkListener;
import io.switchback.sync.LinkSettings;
import io.switchback.sync.LinkStart;
import io.switchback.sync.LinkStatus;
import io.switchback.sync.RelayLink;
import io.switchback.sync.apply.ApplyLink;
import io.switchback.sync.apply.ApplySettings;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.InetAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Supplier;

/**
 * The process that a campaign kills: it runs the links of one direction as a file says it ({@link LinkOwner} writes it), says on its standard output, a line each, what they tell their
 * owner, and does what it is told on its standard input. It ends with that.
 *
 * <p>Concurrency: the main thread opens and obeys, one looks whether all links flow, and links tell on their own; lines are printed whole.
 */
public final class LinkProcess {
    /** What a relay's target has to show; the same for every link of a campaign. */
    static final String SECRET = "face-secret";

    private static final Duration ANSWER_MAX = Duration.ofSeconds(5);
    /** A server that loads does not say what it knows. */
    private static final Duration DIALECT_MAX = Duration.ofSeconds(60);

    private static final Duration LOOK_EVERY = Duration.ofMillis(3);
    private static final Environment ENVIRONMENT = Environment.system();

    private final Properties order;
    private final PrintStream out = System.out;
    private final List<Link> links = new ArrayList<>();

    private LinkProcess(Properties order) {
        this.order = order;
    }

    /** Argument: the file. */
    public static void main(String[] arguments) throws IOException {
        Properties order = new Properties();
        try (var reader = Files.newBufferedReader(Path.of(arguments[0]))) {
            order.load(reader);
        }
        new LinkProcess(order).run();
        System.exit(0); // whatever its links still do
    }

    private void run() throws IOException {
        FleetSpec source = fleet("source");
        FleetSpec target = fleet("target");
        int count = Integer.parseInt(of("links"));
        for (int number = 0; number < count; number++) {
            links.add(of("kind").equals("relay") ? relay(source, target, number) : apply(source, target, number));
        }
        Thread.ofPlatform().daemon().name("look").start(this::look);
        BufferedReader said = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        String line = said.readLine();
        while (line != null) {
            if (line.equals("close")) {
                links.forEach(Link::close);
                say("closed");
                return;
            }
            obey(line.split(" ", -1));
            line = said.readLine();
        }
    }

    private String of(String name) {
        return Objects.requireNonNull(order.getProperty(name), name);
    }

    private FleetSpec fleet(String which) {
        List<Endpoint> servers = Arrays.stream(of(which).split(" ", -1))
                .map(LinkProcess::endpoint)
                .toList();
        FleetAddress address = order.getProperty(which + ".cluster") != null
                ? new FleetAddress.Cluster(servers)
                : order.getProperty(which + ".watched") != null
                        ? new FleetAddress.Sentinel(servers, of(which + ".watched"), Optional.empty())
                        : new FleetAddress.Standalone(servers.getFirst());
        return new FleetSpec(which, address, Optional.empty());
    }

    private static Endpoint endpoint(String text) {
        int colon = text.lastIndexOf(':');
        return new Endpoint(text.substring(0, colon), Integer.parseInt(text.substring(colon + 1)));
    }

    private LinkStart start(int number) {
        String text = of("start." + number);
        int space = text.indexOf(' ');
        String base = text.substring(space + 1);
        return switch (space < 0 ? text : text.substring(0, space)) {
            case "copy" -> new LinkStart.FullCopy(Optional.empty());
            case "from" -> new LinkStart.From(base(base));
            case "again" -> new LinkStart.Again(base(base));
            case "later" -> new LinkStart.Later();
            default -> throw new IllegalArgumentException(text);
        };
    }

    static String text(LinkBase base) {
        return base.sourceId() + "," + base.sourceOffset() + "," + base.targetId() + "," + base.targetOffset();
    }

    static LinkBase base(String text) {
        String[] words = text.split(",", -1);
        return new LinkBase(words[0], Long.parseLong(words[1]), words[2], Long.parseLong(words[3]));
    }

    private Link apply(FleetSpec source, FleetSpec target, int number) {
        Optional<SlotSet> slots = Optional.of(of("slots." + number))
                .filter(text -> !text.isEmpty())
                .map(SlotSet::parse);
        return ApplyLink.open(
                new ApplySettings(
                        of("name." + number),
                        SECRET,
                        Token.open(Long.parseLong(of("owner")), "campaign"),
                        slots.map(set -> source.shard(set.first())).orElse(source),
                        target,
                        start(number),
                        slots),
                ENVIRONMENT,
                new Told(number));
    }

    private Link relay(FleetSpec source, FleetSpec target, int number) {
        Dialect from = patiently(() -> dialect(source));
        Dialect to = patiently(() -> dialect(target));
        LinkStart start = start(number);
        RelayLink link = RelayLink.open(
                new LinkSettings(
                        of("name." + number),
                        source,
                        target,
                        InetAddress.getLoopbackAddress(),
                        Integer.parseInt(of("port")),
                        SECRET,
                        start,
                        StreamTranslator.between(from, to)),
                ENVIRONMENT,
                new Told(number));
        if (!(start instanceof LinkStart.Later)) {
            link.admit();
        }
        return link;
    }

    private static Dialect dialect(FleetSpec fleet) {
        try (ServerConnection connection = ServerConnection.open(fleet, ANSWER_MAX)) {
            return Dialect.read(connection);
        }
    }

    private static <T> T patiently(Supplier<T> question) {
        Deadline deadline = Deadline.in(ENVIRONMENT, DIALECT_MAX);
        while (true) {
            try {
                return question.get();
            } catch (FleetException e) {
                if (deadline.passed()) {
                    throw e;
                }
                LockSupport.parkNanos(LOOK_EVERY.toNanos());
            }
        }
    }

    private void obey(String[] words) {
        switch (words[0]) {
            case "applied" -> {
                int number = Integer.parseInt(words[1]);
                long offset = Long.parseLong(words[2]);
                Link link = links.get(number);
                boolean applied = link.awaitApplied(
                        offset, Deadline.in(ENVIRONMENT, Duration.ofSeconds(Long.parseLong(words[3]))));
                long there = link instanceof RelayLink relay ? relay.targetOffsetOf(offset) : -1;
                say("applied " + number + " " + applied + " " + there + " " + link.status());
            }
            case "admit" -> {
                if (links.getFirst() instanceof RelayLink relay) {
                    relay.admit(base(words[1]));
                }
            }
            default -> throw new IllegalArgumentException(words[0]);
        }
    }

    /** Says whenever all links flow that did not, and the other way round. */
    private void look() {
        String before = "";
        while (true) {
            List<LinkStatus> now = links.stream().map(Link::status).toList();
            boolean flow = now.stream().allMatch(status -> status.phase() == LinkStatus.Phase.STREAMING);
            String words = flow
                    ? "flow"
                    : "stand "
                            + String.join(
                                    "; ",
                                    now.stream()
                                            .map(status -> status.phase() + " " + status.detail())
                                            .toList());
            if (!words.equals(before)) {
                say(words);
                before = words;
            }
            LockSupport.parkNanos(LOOK_EVERY.toNanos());
        }
    }

    private void say(String line) {
        synchronized (out) {
            out.println(line.replace('\n', ' '));
            out.flush();
        }
    }

    /** What one of the links tells. */
    private final class Told implements LinkListener {
        private final int number;

        Told(int number) {
            this.number = number;
        }

        @Override
        public void based(LinkBase base) {
            say("based " + number + " " + text(base));
        }

        @Override
        public void sourceIdChanged(String id) {
            say("id " + number + " " + id);
        }

        @Override
        public void copied(BackupManifest manifest) {}

        @Override
        public void broken(LinkBreak kind, String why) {
            say("broken " + number + " " + why);
        }
    }
}
