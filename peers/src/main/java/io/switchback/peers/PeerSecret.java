package io.switchback.peers;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** What all nodes of one ledger know and nobody else: message authentication codes with it (HMAC-SHA-256, RFC 2104). Immutable. */
public final class PeerSecret {
    /** Of a code. */
    static final int MAC_BYTES = 32;

    private static final String ALGORITHM = "HmacSHA256";

    private final SecretKeySpec key;

    /** A secret of at least 16 random bytes. */
    public PeerSecret(byte[] secret) {
        if (secret.length < 16) {
            throw new IllegalArgumentException("a secret of " + secret.length + " bytes can be guessed");
        }
        this.key = new SecretKeySpec(secret, ALGORITHM);
    }

    /** The code of a purpose and some parts, each with its length, so that no two lists of parts have the same one. */
    byte[] mac(String purpose, byte[]... parts) {
        try {
            Mac mac = Mac.getInstance(ALGORITHM);
            mac.init(key);
            add(mac, purpose.getBytes(UTF_8));
            for (byte[] part : parts) {
                add(mac, part);
            }
            return mac.doFinal();
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException("every Java has " + ALGORITHM, e);
        }
    }

    boolean isMac(byte[] given, String purpose, byte[]... parts) {
        return MessageDigest.isEqual(given, mac(purpose, parts));
    }

    private static void add(Mac mac, byte[] part) {
        int length = part.length;
        mac.update(new byte[] {(byte) (length >> 24), (byte) (length >> 16), (byte) (length >> 8), (byte) length});
        mac.update(part);
    }
}
