package io.switchback.tls;

import io.switchback.environment.Environment;
import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Signature;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import javax.net.ssl.KeyManager;
import javax.net.ssl.SNIHostName;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509ExtendedTrustManager;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What {@link TlsFiles} say, read: makes engines and sockets, and reads the files again where they have changed.
 *
 * <p>May be used by any thread. {@link #look} alone touches files; everything else uses what was read last, and connections that were made
 * keep what they were made with.
 *
 * <p>Invariant: {@link #current} was good when it was read. Files that are not are reported, and change nothing.
 */
public final class TlsContext {
    private static final Logger LOG = LoggerFactory.getLogger(TlsContext.class);

    /** One that runs out sooner is warned of, once a day. */
    static final Duration RUNS_OUT_SOON = Duration.ofDays(14);

    private static final Duration WARNING_EVERY = Duration.ofDays(1);
    private static final byte[] PROOF = {'s', 'w', 'i', 't', 'c', 'h'};

    static {
        // Otherwise a client of TLS 1.2 could ask for the costly part of a handshake again and again.
        System.setProperty("jdk.tls.rejectClientInitiatedRenegotiation", "true");
    }

    private final TlsFiles files;
    private final Environment environment;
    private volatile Current current;

    // Guarded by this.
    private String refusedContents = "";
    private Instant warnedAt = Instant.MIN;

    /** What was read, and what stood in the files then. */
    private record Current(SSLContext context, List<X509Certificate> chain, String contents) {}

    private TlsContext(TlsFiles files, Environment environment, Current current) {
        this.files = files;
        this.environment = environment;
        this.current = current;
    }

    /**
     * Reads the files.
     *
     * @throws TlsException where they cannot be used
     */
    static TlsContext open(TlsFiles files, Environment environment) {
        return new TlsContext(files, environment, Contents.read(files).use(files, environment.now()));
    }

    /** Looks at the files: where they have changed and are good, new connections use them from now on. Waits for the disk. */
    public synchronized void look() {
        String contents = "";
        try {
            Contents read = Contents.read(files);
            contents = read.digest();
            if (!contents.equals(current.contents()) && !contents.equals(refusedContents)) {
                current = read.use(files, environment.now());
                refusedContents = "";
                warnedAt = Instant.MIN;
                LOG.info("new connections use what {} hold now", describe(files));
            }
        } catch (TlsException e) {
            // Once for each state of the files: the next look comes in seconds.
            String refused = contents.isEmpty() ? String.valueOf(e.getMessage()) : contents;
            if (!refused.equals(refusedContents)) {
                refusedContents = refused;
                LOG.warn("{}; new connections still use what was there before", e.getMessage());
            }
        }
        warn();
    }

    private void warn() {
        Instant now = environment.now();
        if (warnedAt.plus(WARNING_EVERY).isAfter(now)) {
            return;
        }
        for (X509Certificate certificate : current.chain()) {
            Instant end = certificate.getNotAfter().toInstant();
            if (end.isBefore(now.plus(RUNS_OUT_SOON))) {
                warnedAt = now;
                LOG.warn(
                        "the certificate \"{}\" of {} {} on {}: renew it",
                        certificate.getSubjectX500Principal(),
                        describe(files),
                        end.isBefore(now) ? "has run out" : "runs out",
                        end);
            }
        }
    }

    /** What the files hold, whole, so that what is used is what was compared. */
    private record Contents(
            Optional<PemFile> certificates, Optional<PemFile> key, Optional<PemFile> authorities, String digest) {
        static Contents read(TlsFiles files) {
            Optional<PemFile> certificates =
                    files.identity().map(TlsFiles.Identity::certificates).map(PemFile::read);
            Optional<PemFile> key = files.identity().map(TlsFiles.Identity::key).map(PemFile::read);
            Optional<PemFile> authorities = files.authorities().map(PemFile::read);
            try {
                MessageDigest digest = MessageDigest.getInstance("SHA-256");
                for (Optional<PemFile> file : List.of(certificates, key, authorities)) {
                    digest.update((byte) 0);
                    file.ifPresent(one -> digest.update(one.bytes()));
                }
                return new Contents(
                        certificates, key, authorities, HexFormat.of().formatHex(digest.digest()));
            } catch (GeneralSecurityException e) {
                throw new IllegalStateException("every Java has SHA-256", e);
            }
        }

        Current use(TlsFiles files, Instant now) {
            KeyManager[] keys = {};
            List<X509Certificate> chain = List.of();
            if (files.identity().isPresent() && certificates.isPresent() && key.isPresent()) {
                TlsFiles.Identity identity = files.identity().get();
                chain = certificates.get().certificates();
                chain.forEach(certificate -> demandValid(certificate, identity.certificates(), now));
                PrivateKey own = key.get().key();
                demandFit(chain.getFirst(), own, identity);
                keys = new KeyManager[] {new OneKey(own, chain)};
            }
            try {
                SSLContext context = SSLContext.getInstance("TLS");
                context.init(keys, new TrustManager[] {trust(files)}, null);
                return new Current(context, chain, digest);
            } catch (GeneralSecurityException | IOException e) {
                throw new TlsException(describe(files) + " cannot be used: " + e.getMessage(), e);
            }
        }

        private TrustManager trust(TlsFiles files) throws GeneralSecurityException, IOException {
            TrustManagerFactory factory = TrustManagerFactory.getInstance("PKIX");
            if (authorities.isPresent()) {
                KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
                store.load(null, null);
                int number = 0;
                for (X509Certificate authority : authorities.get().certificates()) {
                    store.setCertificateEntry("authority-" + number++, authority);
                }
                factory.init(store);
            } else {
                factory.init((KeyStore) null);
            }
            X509ExtendedTrustManager jdk = Arrays.stream(factory.getTrustManagers())
                    .filter(X509ExtendedTrustManager.class::isInstance)
                    .map(X509ExtendedTrustManager.class::cast)
                    .findFirst()
                    .orElseThrow(() -> new GeneralSecurityException("no trust manager for X.509"));
            return new ExplainingTrust(
                    jdk,
                    files.authorities().map(Path::toString).orElse("the trust store of Java (there is no \"ca\")"));
        }
    }

    private static void demandValid(X509Certificate certificate, Path file, Instant now) {
        Instant begin = certificate.getNotBefore().toInstant();
        Instant end = certificate.getNotAfter().toInstant();
        String which = "the certificate \"" + certificate.getSubjectX500Principal() + "\" in " + file;
        if (end.isBefore(now)) {
            throw new TlsException(which + " ran out on " + end + "; renew it");
        }
        if (begin.isAfter(now)) {
            throw new TlsException(which + " is not valid before " + begin + "; is this machine's clock right?");
        }
    }

    /** Something that the key has signed must be the certificate's. */
    private static void demandFit(X509Certificate certificate, PrivateKey key, TlsFiles.Identity identity) {
        PublicKey of = certificate.getPublicKey();
        boolean fits = false;
        if (of.getAlgorithm().equals(key.getAlgorithm())) {
            try {
                Signature signature = Signature.getInstance(
                        switch (key.getAlgorithm()) {
                            case "RSA" -> "SHA256withRSA";
                            case "EC" -> "SHA256withECDSA";
                            case "EdDSA" -> "EdDSA";
                            default ->
                                throw new TlsException(identity.key() + " holds a key of the kind " + key.getAlgorithm()
                                        + "; expected RSA, EC or EdDSA");
                        });
                signature.initSign(key);
                signature.update(PROOF);
                byte[] proof = signature.sign();
                signature.initVerify(of);
                signature.update(PROOF);
                fits = signature.verify(proof);
            } catch (GeneralSecurityException e) {
                LOG.debug("the key in {} cannot sign for its certificate", identity.key(), e);
            }
        }
        if (!fits) {
            throw new TlsException("the key in " + identity.key() + " does not fit the certificate \""
                    + certificate.getSubjectX500Principal() + "\" in " + identity.certificates()
                    + "; the file's first certificate must be the key's own");
        }
    }

    private static String describe(TlsFiles files) {
        List<String> names = new java.util.ArrayList<>();
        files.identity().ifPresent(identity -> {
            names.add(identity.certificates().toString());
            names.add(identity.key().toString());
        });
        files.authorities().ifPresent(path -> names.add(path.toString()));
        return names.isEmpty() ? "the trust store of Java" : String.join(", ", names);
    }

    /** The ciphers among these that this Java does not know. */
    public static List<String> unknownCiphers(List<String> ciphers) {
        try {
            Set<String> known =
                    Set.of(SSLContext.getDefault().getSupportedSSLParameters().getCipherSuites());
            return ciphers.stream().filter(cipher -> !known.contains(cipher)).toList();
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException("every Java has a default context", e);
        }
    }

    // --- connections

    /** For a side that is connected to; with {@code demandsCertificates}, who connects must show one that the authorities have signed. */
    public SSLEngine accepting(boolean demandsCertificates) {
        SSLEngine engine = current.context().createSSLEngine();
        engine.setUseClientMode(false);
        SSLParameters parameters = common(engine.getSSLParameters());
        parameters.setNeedClientAuth(demandsCertificates);
        engine.setSSLParameters(parameters);
        return engine;
    }

    /** As {@link #accepting(boolean)} without certificates, over a socket of which {@code consumed} was read already. */
    public SSLSocket accepting(Socket socket, InputStream consumed) throws IOException {
        SSLSocket tls = (SSLSocket) current.context().getSocketFactory().createSocket(socket, consumed, true);
        tls.setUseClientMode(false);
        tls.setSSLParameters(common(tls.getSSLParameters()));
        return tls;
    }

    /** For a side that connects to {@code host}, whose certificate must be for that very name; SNI says it. */
    public SSLEngine connecting(String host, int port) {
        SSLEngine engine = current.context().createSSLEngine(host, port);
        engine.setUseClientMode(true);
        engine.setSSLParameters(connecting(host, engine.getSSLParameters()));
        return engine;
    }

    /** As {@link #connecting(String, int)}, over a socket; the handshake is still to be made. */
    public SSLSocket connecting(Socket socket, String host, int port) throws IOException {
        SSLSocket tls = (SSLSocket) current.context().getSocketFactory().createSocket(socket, host, port, true);
        tls.setUseClientMode(true);
        tls.setSSLParameters(connecting(host, tls.getSSLParameters()));
        return tls;
    }

    private SSLParameters common(SSLParameters parameters) {
        parameters.setProtocols(files.versions().toArray(String[]::new));
        if (!files.ciphers().isEmpty()) {
            parameters.setCipherSuites(files.ciphers().toArray(String[]::new));
        }
        return parameters;
    }

    private SSLParameters connecting(String host, SSLParameters parameters) {
        common(parameters);
        parameters.setEndpointIdentificationAlgorithm("HTTPS");
        if (mayBeSaid(host)) {
            parameters.setServerNames(List.of(new SNIHostName(host)));
        }
        return parameters;
    }

    /** SNI carries names, no addresses (RFC 6066, section 3). */
    private static boolean mayBeSaid(String host) {
        boolean address = host.indexOf(':') >= 0 || host.matches("[0-9.]+");
        if (address || host.isEmpty() || host.endsWith(".")) {
            return false;
        }
        try {
            return !new SNIHostName(host).getAsciiName().isEmpty();
        } catch (IllegalArgumentException e) {
            return false;
        }
    }
}
