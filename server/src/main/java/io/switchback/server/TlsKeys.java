package io.switchback.server;

import io.switchback.config.YamlMap;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetTls;
import io.switchback.proxy.ListenerTls;
import io.switchback.tls.TlsContext;
import io.switchback.tls.TlsContexts;
import io.switchback.tls.TlsException;
import io.switchback.tls.TlsFiles;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * The keys {@code tls} of a node's file.
 *
 * @param readsCertificates whether what stands in the files that they name is looked at too
 */
record TlsKeys(boolean readsCertificates) {
    private static final List<String> VERSIONS = List.of("1.2", "1.3");
    private static final String ONE_OF_1_3 = "TLS_AES_";
    private static final String OTHER_OF_1_3 = "TLS_CHACHA20_";

    /** What clients are shown, and what they must show; {@code listen} is empty for all addresses of the cache. */
    Optional<ListenerTls> ofListeners(YamlMap keys, List<Endpoint> listen) {
        for (String key : List.of("cert", "key")) {
            if (!keys.has(key)) {
                keys.problem(key, "missing; expected a file: file:PATH");
            }
        }
        TlsFiles files = files(keys, "clients");
        if (files.identity().isEmpty() || !areGood(keys, files)) {
            return Optional.empty();
        }
        return Optional.of(new ListenerTls(files, listen));
    }

    /** Who must have signed the servers' certificates, and what they are shown. */
    Optional<FleetTls> ofFleet(YamlMap keys) {
        if (keys.has("cert") != keys.has("key")) {
            String missing = keys.has("cert") ? "key" : "cert";
            keys.problem(missing, "missing; a certificate and its key go together");
        }
        Optional<String> name = keys.optionalText("name");
        TlsFiles files = files(keys, "ca");
        return areGood(keys, files) ? Optional.of(new FleetTls(files, name)) : Optional.empty();
    }

    private static TlsFiles files(YamlMap keys, String authorities) {
        Optional<Path> certificates = keys.optionalFile("cert");
        Optional<Path> key = keys.optionalFile("key");
        Optional<Path> trusted = keys.optionalFile(authorities);
        List<String> versions = keys.words("versions", VERSIONS).stream()
                .map(version -> "TLSv" + version)
                .toList();
        List<String> ciphers = ciphers(keys, versions);
        Optional<TlsFiles.Identity> identity = certificates.isPresent() && key.isPresent()
                ? Optional.of(new TlsFiles.Identity(certificates.get(), key.get()))
                : Optional.empty();
        return new TlsFiles(identity, trusted, versions, ciphers);
    }

    private static List<String> ciphers(YamlMap keys, List<String> versions) {
        List<String> ciphers = keys.texts("ciphers");
        List<String> unknown = TlsContext.unknownCiphers(ciphers);
        if (!unknown.isEmpty()) {
            keys.problem(
                    "ciphers",
                    "expected names as of the standard, such as TLS_AES_256_GCM_SHA384 or"
                            + " TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384; this Java does not know "
                            + String.join(", ", unknown));
            return List.of();
        }
        for (String version : versions) {
            boolean newest = version.equals("TLSv1.3");
            if (!ciphers.isEmpty() && ciphers.stream().noneMatch(cipher -> isOf13(cipher) == newest)) {
                keys.problem(
                        "ciphers", "none of them is for " + version + "; name one, or leave it out of \"versions\"");
            }
        }
        return ciphers;
    }

    private static boolean isOf13(String cipher) {
        return cipher.startsWith(ONE_OF_1_3) || cipher.startsWith(OTHER_OF_1_3);
    }

    private boolean areGood(YamlMap keys, TlsFiles files) {
        if (!readsCertificates) {
            return true;
        }
        try {
            TlsContexts.demandGood(files);
            return true;
        } catch (TlsException e) {
            keys.problem(keys.has("cert") ? "cert" : "ca", String.valueOf(e.getMessage()));
            return false;
        }
    }
}
