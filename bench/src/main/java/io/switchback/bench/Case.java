package io.switchback.bench;

/** One kind of traffic: {@code get}, {@code set} or {@link #MIXED}, so many commands in flight a connection, values so long. */
record Case(String operation, int pipeline, int valueBytes) {
    /** {@link LoadTool#MIX}. */
    static final String MIXED = "mixed";

    boolean isMixed() {
        return operation.equals(MIXED);
    }

    @Override
    public String toString() {
        return operation + " " + valueBytes + " B, pipeline " + pipeline;
    }
}
