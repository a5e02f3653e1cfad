package io.switchback.simulation;

import io.switchback.commit.Protocol;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/**
 * A small world of its own: a link of the apply kind carries increments of a counter to a target in batches, is killed at any moment, and
 * goes on from its checkpoint. The checkpoint is written in the batch; beside it, the counter repeats or misses (L1).
 */
final class ApplyWorld {
    private static final int INCREMENTS = 60;
    private static final int BATCH_MAX = 5;
    private static final double KILLED = 0.1;

    private ApplyWorld() {}

    static Simulation.Result run(long seed, Protocol protocol, boolean beside, boolean tracing) {
        Random random = new Random(seed * 0x9E3779B97F4A7C15L);
        List<String> trace = new ArrayList<>();
        long counter = 0;
        long checkpoint = 0;
        int kills = 0;
        int events = 0;
        while (checkpoint < INCREMENTS) {
            long end = Math.min(INCREMENTS, checkpoint + 1 + random.nextInt(BATCH_MAX));
            events++;
            boolean killed = random.nextDouble() < KILLED;
            kills += killed ? 1 : 0;
            // One transaction runs as a whole or not at all; two may have a kill between them.
            boolean batchRan = !killed || random.nextBoolean();
            boolean checkpointRan = beside ? !killed : batchRan;
            if (batchRan) {
                counter += end - checkpoint;
            }
            if (tracing) {
                trace.add("increments " + (checkpoint + 1) + " to " + end + (batchRan ? " applied" : " not applied")
                        + (killed ? ", killed" : "") + "; counter " + counter);
            }
            if (checkpointRan) {
                checkpoint = end;
            }
        }
        String broken = counter == INCREMENTS ? null : "L1: the counter is at " + counter + " after " + INCREMENTS;
        return new Simulation.Result(seed, protocol, 1, broken, trace, 0, 0, 0, kills, 0, INCREMENTS, 0, events);
    }
}
