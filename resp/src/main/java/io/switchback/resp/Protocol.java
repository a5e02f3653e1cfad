package io.switchback.resp;

/** The two forms of the protocol; HELLO chooses. Source: https://redis.io/docs/latest/develop/reference/protocol-spec/. */
public enum Protocol {
    RESP2,
    RESP3;

    /** As HELLO calls it. */
    public int version() {
        return this == RESP2 ? 2 : 3;
    }
}
