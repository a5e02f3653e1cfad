package io.switchback.testkit;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.concurrent.TimeUnit;

/** Signals that Java has no word for, sent by the system's {@code kill}. */
public final class Signals {
    private static final long LIMIT_MS = 10_000;

    private Signals() {}

    /** Returns once the signal is delivered. */
    public static void send(String signal, Process process) {
        try {
            Process kill = new ProcessBuilder("kill", "-" + signal, Long.toString(process.pid()))
                    .redirectErrorStream(true)
                    .start();
            if (!kill.waitFor(LIMIT_MS, TimeUnit.MILLISECONDS) || (kill.exitValue() != 0 && process.isAlive())) {
                throw new IllegalStateException("SIG" + signal + " could not be sent to process " + process.pid());
            }
        } catch (IOException e) {
            throw new UncheckedIOException("The program kill could not be run", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("Interrupted while sending SIG" + signal, e);
        }
    }
}
