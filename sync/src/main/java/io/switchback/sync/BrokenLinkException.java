package io.switchback.sync;

/** The link cannot go on, now or later; the message says why, for a person. */
public final class BrokenLinkException extends Exception {
    private static final long serialVersionUID = 1;

    private final LinkBreak kind;

    /** One that no copy mends. */
    public BrokenLinkException(String message) {
        this(LinkBreak.FINAL, message);
    }

    public BrokenLinkException(LinkBreak kind, String message) {
        super(message);
        this.kind = kind;
    }

    /** One that no copy mends. */
    public BrokenLinkException(String message, Throwable cause) {
        super(message, cause);
        this.kind = LinkBreak.FINAL;
    }

    /** What a copy would do about it. */
    public LinkBreak kind() {
        return kind;
    }
}
