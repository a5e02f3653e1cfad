package io.switchback.simulation;

import java.util.HashMap;
import java.util.Map;

/**
 * Carries messages between nodes, servers and the ledger: late, in another order, twice, or not at all. Where two cannot reach each
 * other, what was sent is lost, or arrives once they can again.
 */
final class Network {
    private static final long MICROS_MIN = 150;
    private static final long MICROS_MAX = 1_500;
    private static final long LATE_MICROS_MAX = 60_000;
    private static final long VERY_LATE_MICROS_MAX = 900_000;
    private static final long REPEATED_MICROS_MAX = 3_000_000;

    private final World world;
    private final Weather weather;
    /** Until when two cannot reach each other. */
    private final Map<String, Long> cuts = new HashMap<>();

    /** How bad it is: what shares of the messages are lost, late, very late, repeated. */
    record Weather(double lost, double late, double veryLate, double repeated) {
        static final Weather CALM = new Weather(0, 0, 0, 0);
    }

    Network(World world, Weather weather) {
        this.world = world;
        this.weather = weather;
    }

    void cut(String one, String other, long until) {
        cuts.merge(pair(one, other), until, Math::max);
    }

    void join() {
        cuts.clear();
    }

    boolean cut(String one, String other) {
        if (cuts.isEmpty()) {
            return false;
        }
        Long until = cuts.get(pair(one, other));
        return until != null && until > world.now();
    }

    /** Once, late or never. */
    void carry(String from, String to, Runnable arrive) {
        Weather now = world.calm() ? Weather.CALM : weather;
        if (cut(from, to)) {
            if (world.chance(0.5)) {
                long healed = cuts.getOrDefault(pair(from, to), 0L);
                world.at(healed - world.now() + world.between(MICROS_MIN, LATE_MICROS_MAX), arrive);
            }
            return;
        }
        double chance = world.random().nextDouble();
        if (chance < now.lost()) {
            return;
        }
        world.at(delay(now, 1 - chance), arrive);
    }

    /** As {@link #carry}, and now and then twice; the second may come when what it asks for is long over. */
    void carryPerhapsTwice(String from, String to, Runnable arrive) {
        carry(from, to, arrive);
        if (!world.calm() && world.chance(weather.repeated())) {
            world.at(world.chance(0.5) ? 0 : world.between(0, REPEATED_MICROS_MAX), () -> carry(from, to, arrive));
        }
    }

    private long delay(Weather now, double chance) {
        if (chance < now.veryLate()) {
            return world.between(LATE_MICROS_MAX, VERY_LATE_MICROS_MAX);
        }
        return chance < now.veryLate() + now.late()
                ? world.between(MICROS_MAX, LATE_MICROS_MAX)
                : world.between(MICROS_MIN, MICROS_MAX);
    }

    private static String pair(String one, String other) {
        return one.compareTo(other) < 0 ? one + " " + other : other + " " + one;
    }
}
