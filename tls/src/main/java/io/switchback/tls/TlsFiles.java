package io.switchback.tls;

import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * What one side of TLS is made of, as a person named it: files and settings, nothing that has been read.
 *
 * @param identity what this side shows of itself
 * @param authorities who must have signed what the other side shows; where empty, the JDK's trust store says
 * @param versions such as {@code TLSv1.3}; never empty
 * @param ciphers by the names of the standard, in order of preference; empty for the JDK's own choice
 */
public record TlsFiles(
        Optional<Identity> identity, Optional<Path> authorities, List<String> versions, List<String> ciphers) {
    public static final List<String> DEFAULT_VERSIONS = List.of("TLSv1.2", "TLSv1.3");

    /** A certificate, followed by those between it and an authority, and its key; both in PEM. */
    public record Identity(Path certificates, Path key) {}

    public TlsFiles {
        versions = List.copyOf(versions);
        ciphers = List.copyOf(ciphers);
    }

    /** With {@link #DEFAULT_VERSIONS} and the JDK's ciphers. */
    public TlsFiles(Optional<Identity> identity, Optional<Path> authorities) {
        this(identity, authorities, DEFAULT_VERSIONS, List.of());
    }
}
