package io.switchback.tls;

import java.io.EOFException;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.nio.channels.ClosedChannelException;
import java.util.Locale;
import java.util.Set;
import javax.net.ssl.SSLException;
import org.jspecify.annotations.Nullable;

/** What a failed handshake means, for a person. */
public final class TlsFailure {
    private static final String ALERT = "Received fatal alert: ";
    private static final String NOT_TLS = "what answers there does not speak TLS; is it another port that does?";
    private static final String CLOSED =
            "it closed the connection within the TLS handshake; does it speak TLS at this port?";
    private static final int CAUSES_MAX = 16;

    /** Alerts about the certificate of who receives them (RFC 8446, section 6.2). */
    private static final Set<String> ABOUT_OUR_CERTIFICATE = Set.of(
            "bad_certificate",
            "unsupported_certificate",
            "certificate_revoked",
            "certificate_expired",
            "certificate_unknown",
            "certificate_required",
            "unknown_ca",
            "access_denied");

    private TlsFailure() {}

    /** Why a connection over TLS failed; empty where that has nothing to do with TLS. */
    public static @Nullable String words(Throwable failure) {
        Throwable at = failure;
        for (int i = 0; i < CAUSES_MAX && at != null; i++) {
            if (at instanceof ExplainingTrust.Refusal || at instanceof TlsException) {
                return at.getMessage();
            }
            at = at.getCause();
        }
        at = failure;
        for (int i = 0; i < CAUSES_MAX && at != null; i++) {
            if (at instanceof SSLException && !(at.getCause() instanceof SSLException)) {
                return words((SSLException) at);
            }
            at = at.getCause();
        }
        return null;
    }

    /** As {@link #words}, with a failure's own message where TLS has nothing to do with it. */
    public static String wordsOrMessage(Throwable failure) {
        String words = words(failure);
        return words == null ? String.valueOf(failure.getMessage()) : words;
    }

    /** Of a handshake that did not end in time: a server without TLS waits for the rest of what it takes for a command. */
    public static String unanswered(long limitMs) {
        return "it did not finish a TLS handshake within " + limitMs + " ms; does it speak TLS at this port?";
    }

    /** Why a handshake failed. */
    public static String ofHandshake(Throwable failure, long limitMs) {
        if (failure instanceof SocketTimeoutException) {
            return unanswered(limitMs);
        }
        return failure instanceof ClosedChannelException || failure instanceof SocketException
                ? CLOSED
                : wordsOrMessage(failure);
    }

    private static String words(SSLException failure) {
        String message = String.valueOf(failure.getMessage());
        String alert = alert(message);
        if (ABOUT_OUR_CERTIFICATE.contains(alert)) {
            return "it does not take the certificate that it was shown (" + alert
                    + "), or wants one and was shown none;"
                    + " \"cert\" and \"key\" name it, and whom the other side trusts must have signed it";
        }
        return switch (alert) {
            case "protocol_version" -> "it speaks none of the versions of TLS that are allowed here (\"versions\")";
            case "handshake_failure", "insufficient_security" ->
                "it found no version, cipher or certificate that both sides can use (" + alert
                        + "); \"versions\", \"ciphers\" and \"cert\" say what is allowed here";
            case "unrecognized_name" -> "it knows nobody by the name that it was asked for; \"name\" says which";
            case "" -> withoutAlert(failure, message);
            default -> "it ended the TLS handshake: " + alert;
        };
    }

    private static String withoutAlert(SSLException failure, String message) {
        if (message.startsWith("not an SSL/TLS record") || message.contains("unrecognized SSL message")) {
            return NOT_TLS;
        }
        if (failure.getCause() instanceof EOFException || message.contains("terminated the handshake")) {
            return CLOSED;
        }
        if (message.startsWith("Empty client certificate chain")) {
            return "it showed no certificate, and one is demanded here (\"clients\")";
        }
        if (message.startsWith("handshake timed out")) {
            return "it did not finish a TLS handshake in time; does it speak TLS at this port?";
        }
        if (message.contains("protocol version") || message.contains("protocols")) {
            return "there is no version of TLS that both sides allow (\"versions\"): " + message;
        }
        if (message.contains("cipher suites")) {
            return "there is no cipher that both sides allow (\"ciphers\"): " + message;
        }
        return "TLS failed: " + message;
    }

    private static String alert(String message) {
        int at = message.indexOf(ALERT);
        if (at < 0) {
            int bracket = message.startsWith("(") ? message.indexOf(") " + ALERT) : -1;
            return bracket < 0 ? "" : message.substring(bracket + 2 + ALERT.length());
        }
        return message.substring(at + ALERT.length()).strip().toLowerCase(Locale.ROOT);
    }
}
