package io.switchback.release;

import io.switchback.proxy.FleetTraffic;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.zip.DataFormatException;
import org.HdrHistogram.Histogram;

/** What one node's clients were answered by a fleet, as another node asks for it. */
final class NodeTraffic {
    static final String SUBJECT = "traffic";

    private NodeTraffic() {}

    record Question(String cache, String fleet) {}

    /** As {@link FleetTraffic}, its histogram in HdrHistogram's own compressed form. */
    record Answer(long requests, long errors, long sumNanos, byte[] latencyMicros) {
        static Answer of(FleetTraffic traffic) {
            Histogram latencies = traffic.latencyMicros();
            ByteBuffer buffer = ByteBuffer.allocate(latencies.getNeededByteBufferCapacity());
            int length = latencies.encodeIntoCompressedByteBuffer(buffer);
            return new Answer(
                    traffic.requests(), traffic.errors(), traffic.sumNanos(), Arrays.copyOf(buffer.array(), length));
        }

        FleetTraffic traffic() {
            try {
                return new FleetTraffic(
                        requests,
                        errors,
                        sumNanos,
                        Histogram.decodeFromCompressedByteBuffer(ByteBuffer.wrap(latencyMicros), 0));
            } catch (DataFormatException e) {
                throw new IllegalStateException("a node has answered with what is no histogram", e);
            }
        }
    }
}
