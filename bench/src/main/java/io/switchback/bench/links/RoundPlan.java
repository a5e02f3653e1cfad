package io.switchback.bench.links;

import io.switchback.testkit.ServerBinary;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/**
 * What a round is made of, all of it by its seed: as many seeds in a row as there are pairs of versions have each pair once.
 *
 * @param kind relay or apply
 * @param sourcePrimaries 1: a server, more: a cluster of so many
 * @param restarts servers keep an append-only file, and those of a target are killed and come back with it
 * @param expiresByItself whether the source looks for keys whose time has passed, or waits until somebody asks for them
 */
record RoundPlan(
        long seed,
        String kind,
        ServerBinary source,
        ServerBinary target,
        int sourcePrimaries,
        int targetPrimaries,
        boolean diskless,
        boolean restarts,
        boolean expiresByItself) {

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
        String[] form = forms.get(random.nextInt(forms.size())).split(" ", -1);
        boolean apply = form[0].equals("apply");
        return new RoundPlan(
                seed,
                form[0],
                source,
                target,
                Integer.parseInt(form[1]),
                Integer.parseInt(form[2]),
                random.nextBoolean(),
                apply && random.nextInt(3) == 0,
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
