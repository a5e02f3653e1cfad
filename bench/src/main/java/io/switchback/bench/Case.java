package io.switchback.bench;

/** One kind of traffic: {@code get} or {@code set}, so many commands in flight a connection, values so long. */
record Case(String operation, int pipeline, int valueBytes) {
    @Override
    public String toString() {
        return operation + " " + valueBytes + " B, pipeline " + pipeline;
    }
}
