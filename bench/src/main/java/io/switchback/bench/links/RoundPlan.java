package io.switchback.bench.links;

import io.switchback.testkit.ServerBinary;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/**
 * What a round is made of, all of it by its seed: as many seeds in a row as there are pairs of versions have each pair once.
 *
 * @param kind relay or apply
 * @param restarts servers keep an append-only file, and those of a target are killed and come back with it
 * @param changes slots of a target that is a cluster move, and sentinels make another server the primary, on either side
 * @param expiresByItself whether the source looks for keys whose time has passed, or waits until somebody asks for them
 */
record RoundPlan(
        long seed,
        String kind,
        ServerBinary source,
        ServerBinary target,
        FleetShape sourceShape,
        FleetShape targetShape,
        boolean diskless,
        boolean restarts,
        boolean changes,
        boolean expiresByItself) {
    /** Rounds before this one were made when there were no fleets under sentinels and nothing moved: they stay what they were. */
    private static final long CHANGES_FROM = 32;

    static RoundPlan of(long seed, List<ServerBinary> versions) {
        int pair = (int) Math.floorMod(seed - 1, (long) versions.size() * versions.size());
        ServerBinary source = versions.get(pair / versions.size());
        ServerBinary target = versions.get(pair % versions.size());
        SplittableRandom random = new SplittableRandom(seed);
        List<String> forms = new ArrayList<>(
                List.of("apply 1 1", "apply 1 1", "apply 1 1", "apply 1 1", "apply 1 2", "apply 2 1", "apply 2 3"));
        if (follows(target, source)) {
            forms.addAll(List.of("relay 1 1", "relay 1 1", "relay 1 1"));
        }
        if (seed >= CHANGES_FROM) {
            forms.addAll(List.of("apply s 1", "apply 1 s", "apply s s", "apply s 2", "apply 2 s", "apply 1 2"));
        }
        String[] form = forms.get(random.nextInt(forms.size())).split(" ", -1);
        boolean apply = form[0].equals("apply");
        return new RoundPlan(
                seed,
                form[0],
                source,
                target,
                FleetShape.of(form[1]),
                FleetShape.of(form[2]),
                random.nextBoolean(),
                // Sentinels would make a replica the primary meanwhile, which may have less.
                apply && random.nextInt(3) == 0 && !form[1].equals("s") && !form[2].equals("s"),
                seed >= CHANGES_FROM,
                random.nextBoolean());
    }

    /** Whether a server loads the snapshot of another one as it is, so that it can follow a relay from it. */
    private static boolean follows(ServerBinary reader, ServerBinary writer) {
        if (reader.isValkey() && number(reader) >= 900 && number(writer) != number(reader) && number(writer) >= 700) {
            return false; // it does not load all that they write (bench/campaigns/README.md)
        }
        if (reader.isValkey() == writer.isValkey()) {
            return number(reader) >= number(writer);
        }
        return !writer.isValkey() && number(writer) <= 702;
    }

    private static int number(ServerBinary binary) {
        String[] numbers = binary.version().split("[.-]", -1);
        return Integer.parseInt(numbers[0]) * 100 + Integer.parseInt(numbers[1]);
    }
}
