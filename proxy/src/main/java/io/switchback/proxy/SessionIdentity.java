package io.switchback.proxy;

import io.switchback.fleet.Credential;
import io.switchback.resp.Protocol;
import org.jspecify.annotations.Nullable;

/** Who a client is, as far as it has said and proven, and which database and protocol it has chosen. Owned by its session's event loop. */
final class SessionIdentity {
    private final long id;
    private final long sinceNanos;
    private @Nullable Credential credential;
    /** The server serves clients without a password too; it was asked. */
    private boolean admitted;

    private int database;
    private Protocol protocol = Protocol.RESP2;
    private String name = "";
    private String libraryName = "";
    private String libraryVersion = "";

    SessionIdentity(long id, long sinceNanos) {
        this.id = id;
        this.sinceNanos = sinceNanos;
    }

    /** Unique among the clients of this proxy since it was opened. */
    long id() {
        return id;
    }

    long sinceNanos() {
        return sinceNanos;
    }

    /** The user that it is, proven to the server; null while it has not authenticated. */
    @Nullable
    Credential credential() {
        return credential;
    }

    /** Its user's name. */
    String user() {
        Credential known = credential;
        return known == null ? Credential.DEFAULT_USER : known.user();
    }

    void proven(Credential proven) {
        credential = proven;
    }

    boolean isAdmitted() {
        return admitted;
    }

    void admitted() {
        admitted = true;
    }

    int database() {
        return database;
    }

    void selected(int selected) {
        database = selected;
    }

    /** In which its replies are. */
    Protocol protocol() {
        return protocol;
    }

    void chosen(Protocol chosen) {
        protocol = chosen;
    }

    String name() {
        return name;
    }

    void named(String given) {
        name = given;
    }

    String libraryName() {
        return libraryName;
    }

    void libraryNamed(String given) {
        libraryName = given;
    }

    String libraryVersion() {
        return libraryVersion;
    }

    void libraryVersioned(String given) {
        libraryVersion = given;
    }

    /** As after connecting (RESET). */
    void reset() {
        credential = null;
        admitted = false;
        database = 0;
        protocol = Protocol.RESP2;
        name = "";
    }
}
