package io.switchback.tls;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** One file of certificates or with a key, in PEM (RFC 7468), as its bytes stand; nothing is kept of it but those. */
final class PemFile {
    /** Far beyond a bundle of all public authorities. */
    static final int FILE_BYTES_MAX = 4 * 1024 * 1024;

    private static final Pattern BLOCK =
            Pattern.compile("-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\\s]*?)-----END \\1-----");
    private static final Pattern ANY_KEY = Pattern.compile("-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----");
    /** Those that Java knows and that TLS uses (RFC 8446, section 4.2.3). */
    private static final List<String> KEY_ALGORITHMS = List.of("RSA", "EC", "EdDSA", "RSASSA-PSS");

    // DER (X.690): the tags that a key is made of.
    private static final int SEQUENCE = 0x30;
    private static final int OCTET_STRING = 0x04;
    private static final int PARAMETERS = 0xA0;
    private static final byte[] VERSION_0 = {0x02, 0x01, 0x00};
    private static final byte[] RSA_ALGORITHM = {
        0x30, 0x0D, 0x06, 0x09, 0x2A, (byte) 0x86, 0x48, (byte) 0x86, (byte) 0xF7, 0x0D, 0x01, 0x01, 0x01, 0x05, 0x00
    };
    private static final byte[] EC_ALGORITHM_OID = {0x06, 0x07, 0x2A, (byte) 0x86, 0x48, (byte) 0xCE, 0x3D, 0x02, 0x01};

    private final Path path;
    private final byte[] bytes;

    private PemFile(Path path, byte[] bytes) {
        this.path = path;
        this.bytes = bytes;
    }

    static PemFile read(Path path) {
        try {
            long size = Files.size(path);
            if (size > FILE_BYTES_MAX) {
                throw new TlsException(path + " is " + size + " bytes long, expected at most " + FILE_BYTES_MAX
                        + "; is it a file of certificates or keys?");
            }
            return new PemFile(path, Files.readAllBytes(path));
        } catch (NoSuchFileException e) {
            throw new TlsException(path + " cannot be read: there is no such file", e);
        } catch (IOException e) {
            throw new TlsException(path + " cannot be read: " + e + "; may this process read it?", e);
        }
    }

    byte[] bytes() {
        return bytes;
    }

    /** All certificates, in the order of the file; at least one. */
    List<X509Certificate> certificates() {
        List<X509Certificate> all = new ArrayList<>();
        Matcher blocks = BLOCK.matcher(new String(bytes, ISO_8859_1));
        while (blocks.find()) {
            if (blocks.group(1).equals("CERTIFICATE") || blocks.group(1).equals("TRUSTED CERTIFICATE")) {
                all.add(certificate(blocks.group(2), all.size() + 1));
            }
        }
        if (all.isEmpty()) {
            throw new TlsException(
                    path + " holds no certificate; expected PEM, which begins with" + " -----BEGIN CERTIFICATE-----");
        }
        return all;
    }

    private X509Certificate certificate(String base64, int number) {
        try {
            byte[] der = Base64.getMimeDecoder().decode(base64);
            return (X509Certificate)
                    CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(der));
        } catch (CertificateException | IllegalArgumentException e) {
            throw new TlsException(
                    "certificate " + number + " of " + path + " is none that can be read: " + e.getMessage(), e);
        }
    }

    /** The one key of the file. */
    PrivateKey key() {
        String text = new String(bytes, ISO_8859_1);
        Matcher blocks = BLOCK.matcher(text);
        while (blocks.find()) {
            switch (blocks.group(1)) {
                case "PRIVATE KEY" -> {
                    return key(decoded(blocks.group(2)));
                }
                case "RSA PRIVATE KEY" -> {
                    byte[] pkcs1 = decoded(blocks.group(2));
                    return key(der(SEQUENCE, VERSION_0, RSA_ALGORITHM, der(OCTET_STRING, pkcs1)));
                }
                case "EC PRIVATE KEY" -> {
                    byte[] sec1 = decoded(blocks.group(2));
                    byte[] algorithm = der(SEQUENCE, EC_ALGORITHM_OID, curve(sec1));
                    return key(der(SEQUENCE, VERSION_0, algorithm, der(OCTET_STRING, sec1)));
                }
                default -> {
                    // Certificates, parameters of a curve, and the like.
                }
            }
        }
        Matcher other = ANY_KEY.matcher(text);
        if (other.find()) {
            throw new TlsException(
                    path + " holds a key as \"" + other.group(1) + "\", encrypted or of a form that is not read; write"
                            + " it without a password: openssl pkcs8 -topk8 -nocrypt -in " + path + " -out NEW.key");
        }
        throw new TlsException(path + " holds no key; expected PEM, which begins with -----BEGIN PRIVATE KEY-----");
    }

    private byte[] decoded(String base64) {
        try {
            return Base64.getMimeDecoder().decode(base64);
        } catch (IllegalArgumentException e) {
            throw new TlsException(path + " holds a key that cannot be read: " + e.getMessage(), e);
        }
    }

    private PrivateKey key(byte[] pkcs8) {
        for (String algorithm : KEY_ALGORITHMS) {
            try {
                return KeyFactory.getInstance(algorithm).generatePrivate(new PKCS8EncodedKeySpec(pkcs8));
            } catch (GeneralSecurityException e) {
                // Of another kind: only reading it shows which.
            }
        }
        throw new TlsException(path + " holds a key of a kind that Java does not know; expected one of "
                + String.join(", ", KEY_ALGORITHMS));
    }

    /** The name of the curve within a key by SEC 1 (RFC 5915), which PKCS#8 wants outside of it. */
    private byte[] curve(byte[] sec1) {
        int at = inside(sec1, 0);
        while (at >= 0 && at < sec1.length) {
            int from = inside(sec1, at);
            int to = from < 0 ? Integer.MAX_VALUE : behind(sec1, at);
            if (to > sec1.length) {
                break;
            }
            if ((sec1[at] & 0xFF) == PARAMETERS) {
                return Arrays.copyOfRange(sec1, from, to);
            }
            at = to;
        }
        throw new TlsException(path + " holds a key that does not name its curve; write it anew:"
                + " openssl pkcs8 -topk8 -nocrypt -in " + path + " -out NEW.key");
    }

    /** Where the contents of the element at {@code at} begin; -1 where it is cut short. */
    private static int inside(byte[] der, int at) {
        if (at + 1 >= der.length) {
            return -1;
        }
        int first = der[at + 1] & 0xFF;
        return at + 2 + (first < 0x80 ? 0 : first & 0x7F);
    }

    private static int behind(byte[] der, int at) {
        int from = inside(der, at);
        int length = der[at + 1] & 0xFF;
        if (length >= 0x80) {
            length = 0;
            for (int i = at + 2; i < Math.min(from, der.length); i++) {
                length = (length << 8) | (der[i] & 0xFF);
            }
        }
        return length < 0 || length > der.length ? Integer.MAX_VALUE : from + length;
    }

    private static byte[] der(int tag, byte[]... parts) {
        ByteArrayOutputStream contents = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            contents.writeBytes(part);
        }
        ByteArrayOutputStream element = new ByteArrayOutputStream();
        element.write(tag);
        int length = contents.size();
        if (length < 0x80) {
            element.write(length);
        } else {
            int octets = (Integer.SIZE - Integer.numberOfLeadingZeros(length) + 7) / 8;
            element.write(0x80 | octets);
            for (int i = octets - 1; i >= 0; i--) {
                element.write(length >> (8 * i));
            }
        }
        element.writeBytes(contents.toByteArray());
        return element.toByteArray();
    }
}
