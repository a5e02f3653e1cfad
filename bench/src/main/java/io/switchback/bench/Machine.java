package io.switchback.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** What Linux says about this machine and its processes (proc(5)). Times are processor seconds. */
final class Machine {
    /** The unit of times in /proc; it has been 100 on every Linux of the last twenty years (sysconf(_SC_CLK_TCK)). */
    private static final double TICKS_PER_SECOND = 100;

    private static final Pattern MODEL = Pattern.compile("(?m)^model name\\s*:\\s*(.*)$");
    private static final Pattern SPACES = Pattern.compile("\\s+");

    private Machine() {}

    static int processors() {
        return Runtime.getRuntime().availableProcessors();
    }

    /**
     * What all processors together have done since the machine started.
     *
     * @param busySeconds in processes, and taken by other guests of the host
     * @param interruptSeconds in the kernel's interrupts: on the loopback much of the network's work, charged to no process
     * @param idleSeconds nothing
     */
    record Work(double busySeconds, double interruptSeconds, double idleSeconds) {
        Work since(Work earlier) {
            return new Work(
                    busySeconds - earlier.busySeconds,
                    interruptSeconds - earlier.interruptSeconds,
                    idleSeconds - earlier.idleSeconds);
        }

        double idleShare() {
            double all = busySeconds + interruptSeconds + idleSeconds;
            return all == 0 ? 1 : idleSeconds / all;
        }
    }

    static Work work() {
        String[] fields =
                SPACES.split(read(Path.of("/proc/stat")).lines().findFirst().orElseThrow(), -1);
        double[] ticks = new double[9];
        for (int i = 1; i < ticks.length; i++) {
            ticks[i] = Double.parseDouble(fields[i]) / TICKS_PER_SECOND;
        }
        // user nice system idle iowait irq softirq steal
        return new Work(ticks[1] + ticks[2] + ticks[3] + ticks[8], ticks[6] + ticks[7], ticks[4] + ticks[5]);
    }

    /** What a process has used. */
    static double processSeconds(long processId) {
        String[] fields = statFields(Long.toString(processId));
        return (Double.parseDouble(fields[11]) + Double.parseDouble(fields[12])) / TICKS_PER_SECOND;
    }

    /** What the children of this process that have ended had used. */
    static double endedChildrenSeconds() {
        String[] fields = statFields("self");
        return (Double.parseDouble(fields[13]) + Double.parseDouble(fields[14])) / TICKS_PER_SECOND;
    }

    /** Fields of /proc/PID/stat from the third on: the second, a name in parentheses, may hold anything. */
    private static String[] statFields(String process) {
        String stat = read(Path.of("/proc", process, "stat"));
        return SPACES.split(stat.substring(stat.lastIndexOf(')') + 2), -1);
    }

    /** Resident memory of a process; {@code field} is VmRSS for now, VmHWM for the most so far. */
    static long memoryKib(long processId, String field) {
        return read(Path.of("/proc", Long.toString(processId), "status"))
                .lines()
                .filter(line -> line.startsWith(field + ":"))
                .mapToLong(line -> Long.parseLong(SPACES.split(line, -1)[1]))
                .findFirst()
                .orElse(0);
    }

    /** The process, and all of its threads, get a processor only where nobody else wants it (nice 19). */
    static void giveWay(long processId) {
        List<String> command = new ArrayList<>(List.of("renice", "-n", "19", "-p"));
        try (Stream<Path> threads = Files.list(Path.of("/proc/" + processId + "/task"))) {
            threads.forEach(thread -> command.add(thread.getFileName().toString()));
            Process renice = new ProcessBuilder(command)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .redirectErrorStream(true)
                    .start();
            renice.waitFor(); // it fails for a thread that has just ended, after it has done its work for all others
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }

    /** What a reader of the figures must know. */
    static Map<String, String> description() {
        Map<String, String> text = new LinkedHashMap<>();
        Matcher model = MODEL.matcher(read(Path.of("/proc/cpuinfo")));
        text.put("processor", (model.find() ? model.group(1) : "unknown") + ", " + processors() + " cores seen");
        text.put("system", System.getProperty("os.name") + " " + System.getProperty("os.version"));
        text.put("java", System.getProperty("java.vm.name") + " " + Runtime.version());
        return text;
    }

    private static String read(Path file) {
        try {
            return Files.readString(file, StandardCharsets.ISO_8859_1);
        } catch (IOException e) {
            throw new UncheckedIOException(file + " cannot be read; the benchmark needs Linux", e);
        }
    }
}
