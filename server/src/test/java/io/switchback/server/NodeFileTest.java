package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.switchback.config.ConfigException;
import io.switchback.config.HostPort;
import io.switchback.config.Secret;
import io.switchback.fleet.Credential;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.FleetTls;
import io.switchback.proxy.ListenerTls;
import io.switchback.proxy.MemorySettings;
import io.switchback.proxy.ProxySettings;
import io.switchback.proxy.ReplicaSettings;
import io.switchback.server.NodeFile.LedgerAddress;
import io.switchback.testkit.TestCertificates;
import io.switchback.tls.TlsFiles;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a node file says, and everything that can be wrong in one. */
class NodeFileTest {
    private static final String LEDGER_FORMS = "embedded:FOLDER such as embedded:./data, or"
            + " zookeeper://HOST:PORT,HOST:PORT/PATH such as zookeeper://zk1:2181,zk2:2181,zk3:2181/switchback";
    private static final String ADDRESS_FORMS = "host:port such as 127.0.0.1:6379, or unix:/PATH of at most 103 bytes";

    @TempDir
    private Path folder;

    @Test
    void everyKeyIsReadAsItIsWritten() throws IOException {
        Files.writeString(folder.resolve("admin.token"), "t0ken\n");
        Path file = write("""
                node: edge-1
                admin: { listen: 127.0.0.1:7070, token: file:admin.token }
                ledger: embedded:./data
                caches:
                  sessions:
                    listen: [0.0.0.0:6379, 127.0.0.1:0]
                    active: blue
                    fleets:
                      blue:  { standalone: 10.0.0.5:6379, user: switchback, password: secret }
                      green: { standalone: 10.0.1.5:6379, password: other }
                  carts:
                    listen: 127.0.0.1:6380
                    active: old
                    event-loops: 3
                    max-clients: 50000
                    memory: { max-mib: 64, max-age: 2s }
                    replicas: { max-lag: 500ms, without-primary: 10s, max-ejected: 30%, zone: a, zones: { a: 10.0.2.6:6379, b: [10.0.2.7:6379] } }
                    announce: cache.example:6380
                    fleets:
                      old: { standalone: 10.0.2.5:6379 }
                """);

        assertThat(NodeFile.read(file))
                .isEqualTo(new NodeFile(
                        file,
                        "edge-1",
                        Optional.of(new NodeFile.AdminSettings(new HostPort("127.0.0.1", 7070), Secret.of("t0ken"))),
                        new LedgerAddress.Embedded(),
                        folder.resolve("data"),
                        NodeFile.OnLedgerLoss.SERVE,
                        Optional.empty(),
                        List.of(
                                new NodeFile.CacheSettings(
                                        "sessions",
                                        List.of(new Endpoint("0.0.0.0", 6379), new Endpoint("127.0.0.1", 0)),
                                        "blue",
                                        Map.of(
                                                "blue",
                                                new FleetSpec(
                                                        "blue",
                                                        new Endpoint("10.0.0.5", 6379),
                                                        Optional.of(new Credential("switchback", "secret"))),
                                                "green",
                                                new FleetSpec(
                                                        "green",
                                                        new Endpoint("10.0.1.5", 6379),
                                                        Optional.of(new Credential("default", "other")))),
                                        0,
                                        10_000),
                                new NodeFile.CacheSettings(
                                        "carts",
                                        List.of(new Endpoint("127.0.0.1", 6380)),
                                        "old",
                                        Map.of(
                                                "old",
                                                new FleetSpec("old", new Endpoint("10.0.2.5", 6379), Optional.empty())),
                                        3,
                                        50_000,
                                        Optional.empty(),
                                        ProxySettings.SOCKET_MODE,
                                        Optional.of(new MemorySettings(64L * 1024 * 1024, Duration.ofSeconds(2))),
                                        Optional.of(new ReplicaSettings(
                                                Duration.ofMillis(500),
                                                Duration.ofSeconds(10),
                                                0.3,
                                                Optional.of("a"),
                                                Map.of(
                                                        new Endpoint("10.0.2.6", 6379),
                                                        "a",
                                                        new Endpoint("10.0.2.7", 6379),
                                                        "b"))),
                                        Optional.of(new Endpoint("cache.example", 6380))))));
    }

    @Test
    void replicasAreReadFromWhereTheFileSaysSo() throws IOException {
        String caches = """
                node: n
                ledger: embedded:./d
                caches: { c: { listen: a:1, active: f, replicas: %s, fleets: { f: { standalone: b:1 } } } }
                """;
        assertThat(NodeFile.read(write(caches.formatted("{ reads: true }")))
                        .caches()
                        .getFirst()
                        .replicas())
                .contains(ReplicaSettings.of(ReplicaSettings.LAG_MAX_DEFAULT));
        Map<String, String> wrong = Map.of(
                "{ max-lag: 1ms }", "max-lag",
                "{ reads: false }", "leave out the key",
                "{ zone: a }", "expected both",
                "{ zones: { a: b:2 } }", "expected both",
                "{ zone: a, zones: { a: b:2, c: b:2 } }", "is in two zones",
                "{ without-primary: 2h }", "without-primary",
                "{ max-ejected: 120% }", "max-ejected");
        wrong.forEach((written, problem) -> assertThat(problems(caches.formatted(written)))
                .as(written)
                .singleElement()
                .asString()
                .contains(problem));
    }

    private List<String> problems(String text) {
        try {
            return problemsOf(text);
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    @Test
    void whatIsAnnouncedIsWhereClientsCanGo() throws IOException {
        for (String address : List.of("0.0.0.0:6379", "[::]:6379", "10.0.0.7:0", "10.0.0.7")) {
            assertThat(problemsOf("""
                            node: n
                            ledger: embedded:./d
                            caches: { c: { listen: a:1, active: f, announce: "%s", fleets: { f: { standalone: b:1 } } } }
                            """.formatted(address)))
                    .singleElement()
                    .asString()
                    .contains("announce");
        }
    }

    @Test
    void memoryNeedsASize() throws IOException {
        String caches = """
                node: n
                ledger: embedded:./d
                caches: { c: { listen: a:1, active: f, memory: %s, fleets: { f: { standalone: b:1 } } } }
                """;
        assertThat(NodeFile.read(write(caches.formatted("{ max-mib: 1 }")))
                        .caches()
                        .getFirst()
                        .memory())
                .contains(new MemorySettings(1024 * 1024, MemorySettings.AGE_MAX_DEFAULT));
        assertThat(problemsOf(caches.formatted("{ max-age: 1s }")))
                .singleElement()
                .asString()
                .contains("max-mib");
        assertThat(problemsOf(caches.formatted("{ max-mib: 0 }")))
                .singleElement()
                .asString()
                .contains("max-mib");
        assertThat(problemsOf(caches.formatted("{ max-mib: 1, max-age: 2h }")))
                .singleElement()
                .asString()
                .contains("max-age");
    }

    @Test
    void aCommonLedgerLeavesTheNodeAFolderAndAnAddressOfItsOwn() throws IOException {
        String caches = "caches: { c: { listen: a:1, active: f, fleets: { f: { standalone: b:1 } } } }\n";
        NodeFile node =
                NodeFile.read(write("node: n\nledger: zookeeper://zk1:2181,zk2:2181,zk3:2181/switchback\n" + caches));
        assertThat(node.ledger()).isEqualTo(new LedgerAddress.ZooKeeper("zk1:2181,zk2:2181,zk3:2181/switchback"));
        assertThat(node.dataFolder()).isEqualTo(folder.resolve("data"));
        assertThat(node.peers()).isEmpty();

        NodeFile more = NodeFile.read(write(
                "node: n\nledger: zookeeper://zk1:2181/a/b\ndata: own\npeers: { listen: 10.0.0.9:7071 }\n" + caches));
        assertThat(more.dataFolder()).isEqualTo(folder.resolve("own"));
        assertThat(more.peers()).contains(new Endpoint("10.0.0.9", 7071));
        assertThat(more.onLedgerLoss()).isEqualTo(NodeFile.OnLedgerLoss.SERVE);

        NodeFile holds =
                NodeFile.read(write("node: n\nledger: zookeeper://zk1:2181/a\non-ledger-loss: hold\n" + caches));
        assertThat(holds.onLedgerLoss()).isEqualTo(NodeFile.OnLedgerLoss.HOLD);
        assertThat(problemsOf("node: n\nledger: embedded:./d\non-ledger-loss: hold\n" + caches))
                .containsExactly(":3: on-ledger-loss: a node with an embedded ledger has it with it; expected a ledger"
                        + " zookeeper://...");

        assertThat(problemsOf("node: n\nledger: zookeeper://zk1:2181\n" + caches))
                .containsExactly(":2: ledger: expected " + LEDGER_FORMS + ", found \"zookeeper://zk1:2181\"");
        assertThat(problemsOf("node: n\nledger: embedded:./d\ndata: e\npeers: { listen: 127.0.0.1:7 }\n" + caches))
                .containsExactly(
                        ":3: data: an embedded ledger names the node's folder already; expected no key \"data\"",
                        ":4: peers: a node with an embedded ledger has no peers; expected a ledger zookeeper://...");
    }

    @Test
    void tlsAndUnixSocketsAreReadAsTheyAreWritten() throws IOException {
        TestCertificates authority = TestCertificates.in(folder.resolve("ca"));
        TestCertificates.Pair node = authority.issue("node");
        Path file = write("""
                node: n
                ledger: embedded:./data
                caches:
                  c:
                    listen: unix:/run/switchback/c.sock
                    socket-mode: 770
                    tls: { cert: "file:%1$s", key: "file:%2$s", clients: file:ca/ca.pem, versions: 1.3, listen: 10.0.0.1:6380 }
                    active: blue
                    fleets:
                      blue: { standalone: unix:/run/redis.sock }
                      green:
                        standalone: 10.0.0.5:6379
                        tls: { ca: file:ca/ca.pem, cert: "file:%1$s", key: "file:%2$s", name: cache.example,
                               ciphers: [TLS_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384] }
                      teal: { standalone: 10.0.0.6:6379, tls: {} }
                """.formatted(node.certificate(), node.key()));

        NodeFile.CacheSettings cache = NodeFile.read(file).caches().getFirst();

        Optional<TlsFiles.Identity> identity = Optional.of(new TlsFiles.Identity(node.certificate(), node.key()));
        Optional<Path> trusted = Optional.of(folder.resolve("ca/ca.pem"));
        assertThat(cache.listen()).containsExactly(Endpoint.unix("/run/switchback/c.sock"));
        assertThat(PosixFilePermissions.toString(cache.socketMode())).isEqualTo("rwxrwx---");
        assertThat(cache.tls())
                .contains(new ListenerTls(
                        new TlsFiles(identity, trusted, List.of("TLSv1.3"), List.of()),
                        List.of(new Endpoint("10.0.0.1", 6380))));
        assertThat(Objects.requireNonNull(cache.fleets().get("blue")).endpoint())
                .isEqualTo(Endpoint.unix("/run/redis.sock"));
        assertThat(Objects.requireNonNull(cache.fleets().get("green")).tls())
                .contains(new FleetTls(
                        new TlsFiles(
                                identity,
                                trusted,
                                TlsFiles.DEFAULT_VERSIONS,
                                List.of("TLS_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384")),
                        Optional.of("cache.example")));
        assertThat(Objects.requireNonNull(cache.fleets().get("teal")).tls())
                .contains(new FleetTls(new TlsFiles(Optional.empty(), Optional.empty()), Optional.empty()));
    }

    @Test
    void whatIsWrongWithTlsIsSaidAtOnceWithTheFile() throws IOException {
        TestCertificates authority = TestCertificates.in(folder.resolve("ca"));
        TestCertificates.Pair old = authority.expired("old");
        TestCertificates.Pair one = authority.issue("one");
        TestCertificates.Pair other = authority.issue("other");
        assertThat(problemsOf("""
                        node: n
                        ledger: embedded:./d
                        caches:
                          c:
                            listen: unix:c.sock
                            socket-mode: rw
                            tls: { cert: "file:%s", key: "file:%s" }
                            active: f
                            fleets:
                              f: { standalone: a:1, tls: { cert: "file:%s", key: "file:%s" } }
                              g: { standalone: a:2, tls: { cert: file:x.pem, versions: 1.1, ciphers: NONE } }
                              h: { standalone: unix:/s, tls: { ca: file:none.pem } }
                        """.formatted(old.certificate(), old.key(), one.certificate(), other.key())))
                .containsExactly(
                        ":5: caches.c.listen: expected host:port such as 127.0.0.1:6379, or unix:/PATH of at most 103"
                                + " bytes, or a list of them, found \"unix:c.sock\"",
                        ":6: caches.c.socket-mode: expected three octal digits such as 770, where 7 or 6 lets connect,"
                                + " found \"rw\"",
                        ":7: caches.c.tls.cert: the certificate \"CN=old\" in " + old.certificate()
                                + " ran out on 2021-01-01T00:00:00Z; renew it",
                        ":10: caches.c.fleets.f.tls.cert: the key in " + other.key()
                                + " does not fit the certificate \"CN=one\" in " + one.certificate()
                                + "; the file's first certificate must be the key's own",
                        ":11: caches.c.fleets.g.tls.key: missing; a certificate and its key go together",
                        ":11: caches.c.fleets.g.tls.versions: expected one of 1.2, 1.3, or a list of them, found"
                                + " \"1.1\"",
                        ":11: caches.c.fleets.g.tls.ciphers: expected names as of the standard, such as"
                                + " TLS_AES_256_GCM_SHA384 or TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384; this Java does not"
                                + " know NONE",
                        ":12: caches.c.fleets.h.tls.ca: " + folder.resolve("none.pem")
                                + " cannot be read: there is no such file",
                        ":12: caches.c.fleets.h.tls: servers do not speak TLS over a Unix socket; expected no key"
                                + " \"tls\" beside unix:/s");
    }

    @Test
    void nothingThatIsShownOfANodeShowsASecret() throws IOException {
        Path file = write("""
                node: n
                admin: { listen: localhost:0, token: hush-1 }
                ledger: embedded:/var/lib/switchback
                caches: { c: { listen: a:1, active: f, fleets: { f: { standalone: b:1, password: hush-2 } } } }
                """);

        NodeFile node = NodeFile.read(file);

        assertThat(node.toString()).doesNotContain("hush");
        assertThat(node.dataFolder()).isEqualTo(Path.of("/var/lib/switchback"));
    }

    @Test
    void everyMistakeIsReportedAtOnceWithLineKeyAndWhatWasExpected() throws IOException {
        assertThat(problemsOf("""
                        node: /
                        admin: { listen: 0.0.0.0:7070, token: "env:SWITCHBACK_TEST_NOT_SET", colour: red }
                        ledger: ./data
                        caches:
                          sessions:
                            listen: 6379
                            active: red
                            fleets:
                              blue: { standalone: 10.0.0.5, user: switchback }
                              green: { standalone: 10.0.1.5:0, pasword: x }
                              mauve: { password: x }
                          "a b":
                            listen: 127.0.0.1:1
                            active: x
                            fleets: {}
                          carts: nothing
                          baskets: { fleets: { x: { standalone: 10.0.9.9:1 } } }
                        """))
                .containsExactly(
                        ":1: node: expected a name of up to 64 letters, digits, dots, dashes and underscores that begins with a letter or digit, found \"/\"",
                        ":2: admin.listen: expected an address of this machine only, such as 127.0.0.1:7070, found \"0.0.0.0:7070\"",
                        ":2: admin.token: the environment variable \"SWITCHBACK_TEST_NOT_SET\" is not set",
                        ":2: admin.colour: unknown key; known here: listen, tls, token",
                        ":3: ledger: expected " + LEDGER_FORMS + ", found \"./data\"",
                        ":6: caches.sessions.listen: expected " + ADDRESS_FORMS + ", or a list of them, found \"6379\"",
                        ":7: caches.sessions.active: expected one of the fleets blue, green, mauve, found \"red\"",
                        ":9: caches.sessions.fleets.blue.user: has no password; expected the key \"password\" beside it",
                        ":9: caches.sessions.fleets.blue.standalone: expected " + ADDRESS_FORMS
                                + ", found \"10.0.0.5\"",
                        ":10: caches.sessions.fleets.green.standalone: expected " + ADDRESS_FORMS
                                + ", found \"10.0.1.5:0\"",
                        ":10: caches.sessions.fleets.green.pasword: unknown key; did you mean \"password\"?",
                        ":11: caches.sessions.fleets.mauve.standalone: missing; expected " + ADDRESS_FORMS,
                        ":12: caches.a b: is no name; expected a name of up to 64 letters, digits, dots, dashes and underscores that begins with a letter or digit",
                        ":15: caches.a b.fleets: expected at least one name with its keys, found none",
                        ":16: caches.carts: expected a map of keys, found \"nothing\"",
                        ":17: caches.baskets.listen: missing; expected " + ADDRESS_FORMS + ", or a list of them",
                        ":17: caches.baskets.active: missing; expected a name of up to 64 letters, digits, dots, dashes and underscores that begins with a letter or digit");
    }

    @Test
    void addressesThatCannotBothHoldAreMistakes() throws IOException {
        assertThat(problemsOf("""
                        node: n
                        admin: { listen: 127.0.0.1:6379, token: x }
                        ledger: embedded:data
                        caches:
                          a:
                            listen: 127.0.0.1:6379
                            active: x
                            fleets: { x: { standalone: h:1 }, y: { standalone: h:1 } }
                          b:
                            listen: 127.0.0.1:6380
                            active: x
                            fleets: { x: { standalone: h:1 }, y: { standalone: 127.0.0.1:6380 } }
                        """))
                .containsExactly(
                        ":6: caches.a.listen: \"127.0.0.1:6379\" is listened at twice, first in line 2",
                        ":8: caches.a.fleets.y.standalone: \"h:1\" is fleet x of cache a already; a server belongs to one fleet of one cache",
                        ":12: caches.b.fleets.x.standalone: \"h:1\" is fleet x of cache a already; a server belongs to one fleet of one cache",
                        ":12: caches.b.fleets.x.standalone: \"h:1\" is fleet y of cache a already; a server belongs to one fleet of one cache",
                        ":12: caches.b.fleets.y.standalone: \"127.0.0.1:6380\" is where this node itself listens; expected the address of a server");
    }

    @Test
    void aFleetIsOfOneOfThreeKinds() throws IOException {
        NodeFile node = NodeFile.read(write("""
                node: n
                ledger: embedded:data
                caches:
                  c:
                    listen: 127.0.0.1:1
                    active: watched
                    fleets:
                      watched:
                        sentinel: { primary: main, sentinels: [s1:26379, s2:26379], user: ops, password: hush-1 }
                        password: hush-2
                      sharded: { cluster: [n1:6379, n2:6379] }
                      other: { sentinel: { primary: other, sentinels: s1:26379 } }
                """));
        Map<String, FleetSpec> fleets = node.caches().getFirst().fleets();
        assertThat(fleets.get("watched"))
                .isEqualTo(new FleetSpec(
                        "watched",
                        new FleetAddress.Sentinel(
                                List.of(new Endpoint("s1", 26379), new Endpoint("s2", 26379)),
                                "main",
                                Optional.of(new Credential("ops", "hush-1"))),
                        Optional.of(new Credential("default", "hush-2"))));
        assertThat(fleets.get("sharded"))
                .isEqualTo(new FleetSpec(
                        "sharded",
                        new FleetAddress.Cluster(List.of(new Endpoint("n1", 6379), new Endpoint("n2", 6379))),
                        Optional.empty()));
        assertThat(fleets.get("other"))
                .isEqualTo(new FleetSpec(
                        "other",
                        new FleetAddress.Sentinel(List.of(new Endpoint("s1", 26379)), "other", Optional.empty()),
                        Optional.empty()));
        assertThat(node.toString()).doesNotContain("hush");
    }

    @Test
    void whatIsWrongWithASentinelOrClusterFleetIsNamed() throws IOException {
        assertThat(problemsOf("""
                        node: n
                        ledger: embedded:data
                        caches:
                          c:
                            listen: 127.0.0.1:6379
                            active: a
                            fleets:
                              a: { standalone: h:1, sentinel: { primary: x, sentinels: [s:1] } }
                              b: { sentinel: { sentinels: s, user: u, quorum: 2 } }
                              d: { cluster: [] }
                              e: { cluster: [h:1, h:1] }
                              f: { sentinel: { primary: x, sentinels: [s:1, s:1, 127.0.0.1:6379] } }
                              g: { sentinel: { primary: x, sentinels: [s:1] } }
                              i: { standalone: h:1 }
                        """))
                .containsExactly(
                        ":8: caches.c.fleets.a.sentinel: expected one kind of fleet: standalone, sentinel or cluster",
                        ":9: caches.c.fleets.b.sentinel.primary: missing; expected text",
                        ":9: caches.c.fleets.b.sentinel.sentinels: expected host:port such as 127.0.0.1:6379, or a list of them, found \"s\"",
                        ":9: caches.c.fleets.b.sentinel.user: has no password; expected the key \"password\" beside it",
                        ":9: caches.c.fleets.b.sentinel.quorum: unknown key; known here: primary, sentinels, user, password",
                        ":10: caches.c.fleets.d.cluster: expected host:port such as 127.0.0.1:6379, or a list of them, found an empty list",
                        ":11: caches.c.fleets.e.cluster: \"h:1\" is named twice",
                        ":12: caches.c.fleets.f.sentinel.sentinels: \"s:1\" is named twice",
                        ":12: caches.c.fleets.f.sentinel.sentinels: \"127.0.0.1:6379\" is where this node itself listens; expected the address of a server",
                        ":13: caches.c.fleets.g.sentinel.sentinels: \"s:1\" is fleet f of cache c already; a server belongs to one fleet of one cache",
                        ":14: caches.c.fleets.i.standalone: \"h:1\" is fleet e of cache c already; a server belongs to one fleet of one cache");
    }

    @Test
    void whatThisVersionCannotDoYetIsRefusedByNameAndLineAndNothingElseIsSaidOfIt() throws IOException {
        Files.writeString(folder.resolve("admin.token"), "t0ken\n");
        assertThat(problemsOf("""
                        # node.yaml: one node. Durations: 200ms, 5s, 24h. Secrets: env:NAME or file:PATH, never in the clear by necessity.
                        node: edge-1
                        admin: { listen: 127.0.0.1:7070, token: file:admin.token }
                        ledger: zookeeper://zk1:2181,zk2:2181,zk3:2181/switchback
                        caches:
                          sessions:
                            listen: 0.0.0.0:6379
                            active: blue
                            fleets:
                              blue:  { sentinel: { primary: x, sentinels: [a:1] }, user: switchback, password: x }
                              green: { cluster: [10.0.1.5:6379, 10.0.1.6:6379], password: x }
                        services:
                          catalog:
                            listen: 0.0.0.0:8080
                            active: v1
                            fleets:
                              v1: { endpoints: [http://10.0.0.7:8081, http://10.0.0.8:8081], health: /healthz }
                              v2: { endpoints: [http://10.0.1.7:8081, http://10.0.1.8:8081], health: /healthz }
                        """)).containsExactly(":12: services: not supported yet by this version");
    }

    @Test
    void anEmptyFileAndOneWithNothingButItsNameSayWhatIsMissing() throws IOException {
        assertThat(problemsOf("")).containsExactly(": the file is empty");
        assertThat(problemsOf("node: n\n"))
                .containsExactly(
                        ":1: ledger: missing; expected " + LEDGER_FORMS, ":1: caches: missing; expected a map of keys");
    }

    private Path write(String text) throws IOException {
        return Files.writeString(folder.resolve("node.yaml"), text);
    }

    /** Without the name of the file, which every line begins with. */
    private List<String> problemsOf(String text) throws IOException {
        Path file = write(text);
        return Objects.requireNonNull(catchThrowableOfType(ConfigException.class, () -> NodeFile.read(file)))
                .problems()
                .stream()
                .map(problem -> problem.toString().substring(file.toString().length()))
                .toList();
    }
}
