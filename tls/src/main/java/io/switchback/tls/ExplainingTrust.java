package io.switchback.tls;

import java.net.Socket;
import java.security.cert.CertificateException;
import java.security.cert.CertificateExpiredException;
import java.security.cert.CertificateNotYetValidException;
import java.security.cert.CertificateParsingException;
import java.security.cert.X509Certificate;
import java.util.Collection;
import java.util.List;
import java.util.Objects;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLSession;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.X509ExtendedTrustManager;
import org.jspecify.annotations.Nullable;

/** Trusts whom the JDK's own trusts, and says for a person why it does not. */
final class ExplainingTrust extends X509ExtendedTrustManager {
    private static final int NAMES_SHOWN_MAX = 8;
    /** Kinds of names in a certificate (RFC 5280, section 4.2.1.6): those that a host can have. */
    private static final List<Integer> HOST_NAMES = List.of(2, 7);

    private final X509ExtendedTrustManager jdk;
    private final String authorities;

    /** {@code authorities}: who is trusted, in words. */
    ExplainingTrust(X509ExtendedTrustManager jdk, String authorities) {
        this.jdk = jdk;
        this.authorities = authorities;
    }

    /** A certificate that is not accepted, in words that can be shown as they are. */
    static final class Refusal extends CertificateException {
        private static final long serialVersionUID = 1;

        Refusal(String message, CertificateException cause) {
            super(message, cause);
        }
    }

    private interface Check {
        void run() throws CertificateException;
    }

    private void explained(X509Certificate[] chain, @Nullable String host, Check check) throws CertificateException {
        try {
            check.run();
        } catch (CertificateException e) {
            throw new Refusal(why(chain, host, e), e);
        }
    }

    private String why(X509Certificate[] chain, @Nullable String host, CertificateException refused) {
        for (X509Certificate certificate : chain) {
            try {
                certificate.checkValidity();
            } catch (CertificateExpiredException e) {
                return "the certificate " + name(certificate) + " ran out on "
                        + certificate.getNotAfter().toInstant() + "; renew it";
            } catch (CertificateNotYetValidException e) {
                return "the certificate " + name(certificate) + " is not valid before "
                        + certificate.getNotBefore().toInstant() + "; is the clock right?";
            }
        }
        String message = String.valueOf(deepest(refused).getMessage());
        if (message.startsWith("No name matching") || message.startsWith("No subject alternative")) {
            return "the certificate " + name(chain[0]) + " is for " + hosts(chain[0]) + ", not for " + host
                    + "; connect by a name that it carries, or give that one as \"name\"";
        }
        if (message.contains("unable to find valid certification path")
                || message.contains("No trusted certificate found")
                || message.contains("trustAnchors parameter")
                || message.contains("signature check failed")
                || message.contains("Path does not chain")) {
            return "the certificate " + name(chain[0]) + ", issued by " + chain[0].getIssuerX500Principal()
                    + ", is signed by nobody whom " + authorities + " names";
        }
        return "the certificate " + name(chain[0]) + " is not accepted: " + message;
    }

    private static Throwable deepest(Throwable failure) {
        Throwable deepest = failure;
        for (Throwable cause = failure.getCause(); cause != null; cause = cause.getCause()) {
            deepest = cause; // a cause is never its own (Throwable.initCause)
        }
        return deepest;
    }

    private static String name(X509Certificate certificate) {
        return "\"" + certificate.getSubjectX500Principal() + "\"";
    }

    private static String hosts(X509Certificate certificate) {
        try {
            Collection<List<?>> names = certificate.getSubjectAlternativeNames();
            if (names != null) {
                return String.join(
                        ", ",
                        names.stream()
                                .filter(name -> HOST_NAMES.contains(name.get(0)))
                                .map(name -> Objects.toString(name.get(1)))
                                .limit(NAMES_SHOWN_MAX)
                                .toList());
            }
        } catch (CertificateParsingException e) {
            // Then there are none that anybody could match.
        }
        return "no host at all (it has no subject alternative names)";
    }

    private static @Nullable String host(@Nullable SSLSession session) {
        return session == null ? null : session.getPeerHost();
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String type, SSLEngine engine) throws CertificateException {
        explained(chain, host(engine.getHandshakeSession()), () -> jdk.checkServerTrusted(chain, type, engine));
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String type, Socket socket) throws CertificateException {
        String host = socket instanceof SSLSocket tls ? host(tls.getHandshakeSession()) : null;
        explained(chain, host, () -> jdk.checkServerTrusted(chain, type, socket));
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String type) throws CertificateException {
        explained(chain, null, () -> jdk.checkServerTrusted(chain, type));
    }

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String type, SSLEngine engine) throws CertificateException {
        explained(chain, null, () -> jdk.checkClientTrusted(chain, type, engine));
    }

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String type, Socket socket) throws CertificateException {
        explained(chain, null, () -> jdk.checkClientTrusted(chain, type, socket));
    }

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String type) throws CertificateException {
        explained(chain, null, () -> jdk.checkClientTrusted(chain, type));
    }

    @Override
    public X509Certificate[] getAcceptedIssuers() {
        return jdk.getAcceptedIssuers();
    }
}
