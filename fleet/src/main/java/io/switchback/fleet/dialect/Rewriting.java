package io.switchback.fleet.dialect;

/** How a command that the target does not know, or takes differently, is put into commands that it knows. Done by {@link Rewriter}. */
enum Rewriting {
    NONE("not carried"),
    SET("SET ... PXAT; below 6.2 SET and PEXPIREAT in one transaction"),
    SETEX("as SET with that time, absolute"),
    EXPIRE("PEXPIREAT with the absolute time"),
    RESTORE("RESTORE ... ABSTTL, if the payload is in a form that the target loads"),
    MSETEX("MSET; with a time or KEEPTTL: SETs in one transaction"),
    DEL("DEL"),
    HDEL("HDEL"),
    HSETEX("HSET, where no time is given"),
    POP_COUNT("LTRIM"),
    LMOVE("RPOPLPUSH, or a script that moves the element"),
    COPY("a script: DUMP, RESTORE, and the same time to live to the millisecond"),
    ZADD("ZADD without GT or LT for one member, else a script that compares"),
    ZRANGESTORE("a script that reads the range and stores it"),
    ZDIFFSTORE("a script that builds the difference and stores it"),
    GEORADIUS("the same, after DEL of the destination: 6.0 leaves it where the source is missing"),
    GEOSEARCHSTORE("DEL of the destination, then GEORADIUS or GEORADIUSBYMEMBER with STORE"),
    XTRIM("a script that deletes what is older"),
    XADD("XADD, then a script that deletes what is older"),
    XCLAIM("a script: XCLAIM, and XACK of an entry that is no longer in the stream"),
    XDELEX("XDEL"),
    CREATECONSUMER("a read of the consumer's own history, which creates it"),
    FUNCTION_RESTORE("unchanged, if the payload is in a form that the target loads"),
    NOTHING("left out: without effect on data there");

    private final String description;

    Rewriting(String description) {
        this.description = description;
    }

    /** Whether a command is rewritten (or looked at) for every target: it may hold a relative time, or a payload. */
    boolean always() {
        return switch (this) {
            case SETEX, EXPIRE, RESTORE, FUNCTION_RESTORE -> true;
            default -> false;
        };
    }

    /** Whether it depends on a command's words if there is a way. */
    boolean mayFail() {
        return switch (this) {
            case RESTORE, FUNCTION_RESTORE, HSETEX, GEOSEARCHSTORE, COPY -> true;
            default -> false;
        };
    }

    /** For the documentation. */
    String description() {
        return description;
    }
}
