package io.switchback.tls;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;

import io.switchback.environment.Environment;
import io.switchback.testkit.TestCertificates;
import io.switchback.testkit.TestCertificates.Pair;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import javax.net.ssl.ExtendedSSLSession;
import javax.net.ssl.SNIHostName;
import javax.net.ssl.SSLSocket;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is taken from files and what is refused, and what a handshake says: over real sockets, with certificates that openssl has made. */
class TlsContextTest {
    private static final int TIMEOUT_MS = 20_000;

    @TempDir
    private Path folder;

    private TestCertificates authority;
    private Pair good;

    @BeforeEach
    void make() {
        authority = TestCertificates.in(folder.resolve("authority"));
        good = authority.issue("good");
    }

    private static TlsFiles files(Path certificate, Path key, Path trusted) {
        return new TlsFiles(Optional.of(new TlsFiles.Identity(certificate, key)), Optional.of(trusted));
    }

    private TlsFiles files(Pair pair) {
        return files(pair.certificate(), pair.key(), authority.authority());
    }

    private static TlsContext open(TlsFiles files) {
        return TlsContext.open(files, Environment.system());
    }

    /** What came of a handshake: the names that were asked for, and the failure of the side that connects, if any. */
    private record Handshake(List<String> askedFor, Optional<Throwable> failure) {}

    private static Handshake handshake(TlsContext accepting, TlsContext connecting, String host) throws IOException {
        try (ServerSocket listener = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
                Socket client = new Socket(listener.getInetAddress(), listener.getLocalPort());
                Socket accepted = listener.accept()) {
            client.setSoTimeout(TIMEOUT_MS);
            accepted.setSoTimeout(TIMEOUT_MS);
            CompletableFuture<List<String>> asked = CompletableFuture.supplyAsync(() -> {
                try {
                    SSLSocket socket = accepting.accepting(accepted, new ByteArrayInputStream(new byte[0]));
                    socket.startHandshake();
                    List<String> names = new ArrayList<>();
                    ((ExtendedSSLSession) socket.getSession())
                            .getRequestedServerNames()
                            .forEach(name -> names.add(((SNIHostName) name).getAsciiName()));
                    return names;
                } catch (IOException e) {
                    return List.of();
                }
            });
            SSLSocket socket = connecting.connecting(client, host, listener.getLocalPort());
            Throwable failure = catchThrowable(socket::startHandshake);
            return new Handshake(asked.join(), Optional.ofNullable(failure));
        }
    }

    private static String failure(TlsContext accepting, TlsContext connecting, String host) throws IOException {
        return Objects.requireNonNull(TlsFailure.words(
                handshake(accepting, connecting, host).failure().orElseThrow()));
    }

    @Test
    void keysAreReadInEveryFormThatOpensslWrites() throws IOException {
        Path sec1 = authority.rewritten(good.key(), "ec");
        assertThat(sec1).content().startsWith("-----BEGIN EC PRIVATE KEY-----");
        Path pkcs8 =
                authority.rewritten(authority.rewritten(good.key(), "ec"), "pkcs8", "-topk8", "-nocrypt"); // and back
        for (Path key : List.of(good.key(), sec1, pkcs8)) {
            assertThatCode(() -> open(files(good.certificate(), key, authority.authority())))
                    .as(key.toString())
                    .doesNotThrowAnyException();
        }
        Pair ofRsa = authority.issueRsa("rsa");
        Path pkcs1 = authority.rewritten(ofRsa.key(), "rsa", "-traditional");
        assertThat(pkcs1).content().startsWith("-----BEGIN RSA PRIVATE KEY-----");
        for (Path key : List.of(ofRsa.key(), pkcs1)) {
            assertThatCode(() -> open(files(ofRsa.certificate(), key, authority.authority())))
                    .as(key.toString())
                    .doesNotThrowAnyException();
        }
        assertThat(handshake(open(files(ofRsa)), open(files(good)), "localhost").failure())
                .isEmpty();
    }

    @Test
    void whatCannotBeUsedIsRefusedWithTheFileAndWhatToDo() throws IOException {
        Path sealed = authority.rewritten(good.key(), "pkcs8", "-topk8", "-passout", "pass:secret");
        assertRefused(files(good.certificate(), sealed, authority.authority()), sealed + " holds a key as", "-nocrypt");
        Pair other = authority.issue("other");
        assertRefused(
                files(good.certificate(), other.key(), authority.authority()),
                "the key in " + other.key() + " does not fit the certificate \"CN=good\" in " + good.certificate());
        assertRefused(files(authority.expired("old")), "\"CN=old\"", "ran out on 2021-01-01T00:00:00Z");
        assertRefused(files(authority.notYetValid("new")), "\"CN=new\"", "is not valid before 2090-01-01T00:00:00Z");
        Path none = folder.resolve("none.pem");
        assertRefused(files(none, good.key(), authority.authority()), none + " cannot be read: there is no such file");
        Path empty = Files.writeString(folder.resolve("empty.pem"), "");
        assertRefused(files(empty, good.key(), authority.authority()), empty + " holds no certificate");
        assertRefused(files(good.certificate(), empty, authority.authority()), empty + " holds no key");
        assertRefused(files(good.certificate(), good.key(), empty), empty + " holds no certificate");
        String torn = Files.readString(good.certificate()).replaceFirst("MII[A-Za-z0-9+/]{20}", "MIIA");
        Path damaged = Files.writeString(folder.resolve("torn.pem"), torn);
        assertRefused(files(damaged, good.key(), authority.authority()), "certificate 1 of " + damaged);
    }

    private static void assertRefused(TlsFiles files, String... words) {
        assertThatThrownBy(() -> open(files)).isInstanceOf(TlsException.class).hasMessageContainingAll(words);
    }

    @Test
    void anyBytesInPlaceOfAKeyAreRefusedAndNothingElseHappens() throws IOException {
        String key = Files.readString(authority.rewritten(good.key(), "ec"));
        Path cut = folder.resolve("cut.key");
        for (int length = 0; length < key.length(); length++) {
            Files.writeString(cut, key.substring(0, length) + "\n-----END EC PRIVATE KEY-----\n");
            Throwable thrown = catchThrowable(() -> open(files(good.certificate(), cut, authority.authority())));
            assertThat(thrown == null || thrown instanceof TlsException)
                    .as("%s characters: %s", length, thrown)
                    .isTrue();
        }
    }

    @Test
    void aServerIsBelievedForItsNameOnlyAndIsAskedForIt() throws IOException {
        TlsContext server = open(files(authority.issue("server", "DNS:cache.example")));
        TlsContext client = open(files(good));
        assertThat(handshake(server, client, "cache.example"))
                .isEqualTo(new Handshake(List.of("cache.example"), Optional.empty()));
        assertThat(failure(server, client, "other.example"))
                .contains("\"CN=server\" is for cache.example, not for other.example");
        assertThat(failure(server, client, "127.0.0.1")).contains("not for 127.0.0.1");
        Handshake byAddress = handshake(open(files(good)), client, "127.0.0.1");
        assertThat(byAddress).isEqualTo(new Handshake(List.of(), Optional.empty()));
    }

    @Test
    void whoIsSignedByNobodyThatIsTrustedIsNamedWithItsIssuer() throws IOException {
        TestCertificates stranger = TestCertificates.in(folder.resolve("stranger"));
        TlsContext client = open(files(good));
        Pair pair = stranger.issue("unknown");
        TlsContext server = open(files(pair.certificate(), pair.key(), authority.authority()));
        assertThat(failure(server, client, "localhost"))
                .isEqualTo(
                        "the certificate \"CN=unknown\", issued by CN=authority of stranger, is signed by nobody whom "
                                + authority.authority() + " names");
        TlsContext javas = open(new TlsFiles(Optional.empty(), Optional.empty()));
        assertThat(failure(open(files(good)), javas, "localhost")).contains("nobody whom the trust store of Java");
    }

    @Test
    void versionsAndCiphersAreThoseThatAreAllowed() throws IOException {
        TlsFiles any = files(good);
        TlsContext newest = open(new TlsFiles(any.identity(), any.authorities(), List.of("TLSv1.3"), List.of()));
        TlsContext older = open(new TlsFiles(any.identity(), any.authorities(), List.of("TLSv1.2"), List.of()));
        assertThat(handshake(newest, open(any), "localhost").failure()).isEmpty();
        assertThat(failure(newest, older, "localhost")).contains("versions");
        TlsContext one = open(
                new TlsFiles(any.identity(), any.authorities(), List.of("TLSv1.3"), List.of("TLS_AES_128_GCM_SHA256")));
        TlsContext another = open(
                new TlsFiles(any.identity(), any.authorities(), List.of("TLSv1.3"), List.of("TLS_AES_256_GCM_SHA384")));
        assertThat(handshake(one, one, "localhost").failure()).isEmpty();
        assertThat(failure(one, another, "localhost")).contains("ciphers");
    }

    /** Notes what is warned of. */
    private static final class Warnings extends Handler {
        private final List<String> all = new ArrayList<>();

        @Override
        public void publish(LogRecord entry) {
            all.add(new java.util.logging.SimpleFormatter().formatMessage(entry));
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}
    }

    private static List<String> warningsOf(Runnable what) {
        Logger logger = Logger.getLogger(TlsContext.class.getName());
        Warnings warnings = new Warnings();
        logger.addHandler(warnings);
        try {
            what.run();
        } finally {
            logger.removeHandler(warnings);
        }
        return warnings.all.stream()
                .filter(text -> !text.startsWith("new connections use"))
                .toList();
    }

    @Test
    void whatRunsOutSoonIsWarnedOfOnceADayAndABrokenFileOnceForEachState() throws IOException {
        Pair soon = authority.endingInDays("soon", 13);
        TlsContext context = open(files(soon));
        assertThat(warningsOf(() -> {
                    context.look();
                    context.look();
                }))
                .singleElement()
                .asString()
                .contains("\"CN=soon\"")
                .contains("runs out on")
                .contains("renew it");
        assertThat(warningsOf(open(files(authority.endingInDays("later", 20)))::look))
                .isEmpty();

        Files.writeString(soon.key(), "nothing");
        assertThat(warningsOf(() -> {
                    context.look();
                    context.look();
                }))
                .singleElement()
                .asString()
                .contains(soon.key() + " holds no key")
                .contains("still use what was there before");
        assertThat(handshake(context, open(files(good)), "localhost").failure()).isEmpty();
    }
}
