package io.switchback.bench;

/** One kind of traffic: {@code get}, {@code set}, one of {@link #MGET} and {@link #MSET}, or {@link #MIXED}, so many commands in flight a connection, values so long. */
record Case(String operation, int pipeline, int valueBytes) {
    /** {@link LoadTool#MIX}. */
    static final String MIXED = "mixed";

    /** Of ten keys each. */
    static final String MGET = "mget";

    /** Of ten keys each. */
    static final String MSET = "mset";

    boolean isOfManyKeys() {
        return operation.equals(MGET) || operation.equals(MSET);
    }

    boolean isMixed() {
        return operation.equals(MIXED);
    }

    @Override
    public String toString() {
        return operation + (isOfManyKeys() ? " of 10 keys, " : " ") + valueBytes + " B, pipeline " + pipeline;
    }
}
