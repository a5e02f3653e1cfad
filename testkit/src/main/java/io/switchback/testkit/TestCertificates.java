package io.switchback.testkit;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509ExtendedTrustManager;

/**
 * An authority in a folder of its own, made for one test by the {@code openssl} command, and the certificates that it signs.
 *
 * <p>For one thread. What it makes are files; where their dates are not the usual ones they are fixed, so that a test means the same every year.
 */
public final class TestCertificates {
    /** The names that a certificate for servers of the tests is good for. */
    public static final String LOOPBACK = "DNS:localhost,IP:127.0.0.1";

    private static final long COMMAND_LIMIT_S = 60;
    private static final List<String> CURVE = List.of("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1");
    private static final String PASSWORD = "test";
    private static final String[] PAST = {"20200101000000Z", "20210101000000Z"};
    private static final String[] FUTURE = {"20900101000000Z", "20910101000000Z"};

    private final Path folder;
    private int issued;

    /** A certificate and its key, in PEM. */
    public record Pair(Path certificate, Path key) {}

    private TestCertificates(Path folder) {
        this.folder = folder;
    }

    /** Makes an authority. */
    public static TestCertificates in(Path folder) {
        TestCertificates made = new TestCertificates(folder);
        try {
            Files.createDirectories(folder);
            Files.writeString(folder.resolve("index.txt"), "");
            Files.writeString(folder.resolve("ca.conf"), """
                    [ca]
                    default_ca = test
                    [test]
                    dir = %s
                    database = $dir/index.txt
                    new_certs_dir = $dir
                    rand_serial = yes
                    certificate = $dir/ca.pem
                    private_key = $dir/ca.key
                    default_md = sha256
                    policy = any
                    unique_subject = no
                    [any]
                    commonName = supplied
                    """.formatted(folder.toAbsolutePath()));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        made.run(
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-keyout",
                "ca.key",
                "-out",
                "ca.pem",
                "-subj",
                "/CN=authority of " + folder.getFileName(),
                "-days",
                "3650");
        return made;
    }

    /** The authority's own certificate. */
    public Path authority() {
        return folder.resolve("ca.pem");
    }

    /** A certificate for {@link #LOOPBACK} that is good. */
    public Pair issue(String name) {
        return issue(name, LOOPBACK);
    }

    /** A certificate that is good for these names, such as {@code DNS:example.com,IP:127.0.0.1}. */
    public Pair issue(String name, String names) {
        return sign(name, names, "-days", "365");
    }

    /** As {@link #issue(String)}, of an RSA key. */
    public Pair issueRsa(String name) {
        return sign(name, List.of("rsa:2048"), LOOPBACK, "-days", "365");
    }

    /** One that ran out in 2021. */
    public Pair expired(String name) {
        return sign(name, LOOPBACK, "-startdate", PAST[0], "-enddate", PAST[1]);
    }

    /** One that is valid from 2090 on. */
    public Pair notYetValid(String name) {
        return sign(name, LOOPBACK, "-startdate", FUTURE[0], "-enddate", FUTURE[1]);
    }

    /** One that runs out in so many days. */
    public Pair endingInDays(String name, int days) {
        return sign(name, LOOPBACK, "-days", Integer.toString(days));
    }

    /** The key again as another form of PEM, by {@code openssl} and these arguments. */
    public Path rewritten(Path key, String... arguments) {
        Path other = folder.resolve("key-" + issued++ + ".key");
        List<String> command = new ArrayList<>(List.of(arguments));
        command.addAll(List.of("-in", key.toString(), "-out", other.toString()));
        run(command.toArray(String[]::new));
        return other;
    }

    private Pair sign(String name, String names, String... dates) {
        return sign(name, CURVE, names, dates);
    }

    private Pair sign(String name, List<String> kindOfKey, String names, String... dates) {
        String stem = name + "-" + issued++;
        try {
            Files.writeString(folder.resolve(stem + ".ext"), "subjectAltName=" + names + "\n");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        List<String> request = new ArrayList<>(List.of("req", "-new", "-newkey"));
        request.addAll(kindOfKey);
        request.addAll(List.of("-nodes", "-keyout", stem + ".key", "-out", stem + ".csr", "-subj", "/CN=" + name));
        run(request.toArray(String[]::new));
        List<String> command = new ArrayList<>(List.of(
                "ca",
                "-batch",
                "-notext",
                "-config",
                "ca.conf",
                "-in",
                stem + ".csr",
                "-out",
                stem + ".pem",
                "-extfile",
                stem + ".ext"));
        command.addAll(List.of(dates));
        run(command.toArray(String[]::new));
        return new Pair(folder.resolve(stem + ".pem"), folder.resolve(stem + ".key"));
    }

    /** Puts a certificate and its key where others stood, each file at once. */
    public static void replace(Pair old, Pair by) {
        try {
            for (Path[] move : new Path[][] {{by.certificate(), old.certificate()}, {by.key(), old.key()}}) {
                Path beside = move[1].resolveSibling(move[1].getFileName() + ".next");
                Files.copy(move[0], beside, StandardCopyOption.REPLACE_EXISTING);
                Files.move(beside, move[1], StandardCopyOption.ATOMIC_MOVE);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** What a client of the test uses: it trusts this authority, and shows the certificate where there is one. */
    public SSLContext client(Optional<Pair> identity) {
        return client(identity, false);
    }

    /** As {@link #client(Optional)}, trusting whoever answers: for a server that shows what nobody should trust. */
    SSLContext clientThatTrustsAnybody(Pair identity) {
        return client(Optional.of(identity), true);
    }

    private static final class TrustsAnybody extends X509ExtendedTrustManager {
        @Override
        public void checkClientTrusted(X509Certificate[] chain, String type) {}

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String type) {}

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String type, Socket socket) {}

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String type, Socket socket) {}

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String type, SSLEngine engine) {}

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String type, SSLEngine engine) {}

        @Override
        public X509Certificate[] getAcceptedIssuers() {
            return new X509Certificate[0];
        }
    }

    private SSLContext client(Optional<Pair> identity, boolean trustsAnybody) {
        try {
            KeyStore trusted = KeyStore.getInstance("PKCS12");
            trusted.load(null, null);
            try (InputStream in = Files.newInputStream(authority())) {
                trusted.setCertificateEntry(
                        "authority", CertificateFactory.getInstance("X.509").generateCertificate(in));
            }
            TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
            trust.init(trusted);
            TrustManager[] trusts = trustsAnybody ? new TrustManager[] {new TrustsAnybody()} : trust.getTrustManagers();
            SSLContext context = SSLContext.getInstance("TLS");
            if (identity.isEmpty()) {
                context.init(null, trusts, null);
                return context;
            }
            Path store = folder.resolve("client-" + issued++ + ".p12");
            run(
                    "pkcs12",
                    "-export",
                    "-in",
                    identity.get().certificate().toString(),
                    "-inkey",
                    identity.get().key().toString(),
                    "-out",
                    store.toString(),
                    "-passout",
                    "pass:" + PASSWORD);
            KeyStore own = KeyStore.getInstance("PKCS12");
            try (InputStream in = Files.newInputStream(store)) {
                own.load(in, PASSWORD.toCharArray());
            }
            KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
            keys.init(own, PASSWORD.toCharArray());
            context.init(keys.getKeyManagers(), trusts, null);
            return context;
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException("a client's context cannot be made", e);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void run(String... arguments) {
        List<String> command = new ArrayList<>(List.of("openssl"));
        command.addAll(List.of(arguments));
        Path said = folder.resolve("openssl.log");
        try {
            Process process = new ProcessBuilder(command)
                    .directory(folder.toFile())
                    .redirectErrorStream(true)
                    .redirectOutput(said.toFile())
                    .start();
            if (!process.waitFor(COMMAND_LIMIT_S, TimeUnit.SECONDS)) {
                process.destroyForcibly();
                throw new IllegalStateException("openssl did not end: " + command);
            }
            if (process.exitValue() != 0) {
                throw new IllegalStateException(
                        command + " failed: " + Files.readString(said, StandardCharsets.ISO_8859_1));
            }
        } catch (IOException e) {
            throw new UncheckedIOException("openssl is needed for tests of TLS", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("Interrupted while a certificate was made", e);
        }
    }
}
