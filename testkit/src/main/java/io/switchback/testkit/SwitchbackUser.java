package io.switchback.testkit;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * The users that Switchback has at servers under test, with the rights that docs/rights.md lists and no others, so that what a test sees to work needs no more.
 *
 * <p>Every {@link RealServer} that keeps data has them beside its default user, as which clients come.
 *
 * @param name by which it logs in
 * @param rules as ACL SETUSER takes them
 */
public record SwitchbackUser(String name, List<String> rules) {
    /** All have the same. */
    public static final String PASSWORD = "switchback-secret";

    private static final List<String> ANY_LINK = List.of(
            // what it knows of a server, and who it is there
            "+ping",
            "+hello",
            "+select",
            "+client",
            "+command",
            "+info",
            "+role",
            "+time",
            "+cluster",
            // verify, and keys of its own
            "+@read",
            "+set",
            "+del",
            "+@transaction",
            // what tells subscribers of a switch
            "+publish",
            "+subscribe",
            // scripts of clients, brought to where a switch leads
            "+script",
            // clients' WAIT and WAITAOF
            "+wait",
            "+waitaof",
            "+swapdb",
            // vector sets, which are in no category
            "+vcard",
            "+vinfo",
            "+vrandmember",
            "+vemb",
            "+vgetattr");

    private static final List<String> STREAM = List.of(
            "+psync",
            "+replconf",
            // settings, for as long as a release is open
            "+config|get",
            "+config|set",
            "+config|rewrite");

    private static final List<String> CLIENT_OF_TARGET =
            List.of("+@write", "+@scripting", "+asking", "+vadd", "+vrem", "+vsetattr");

    private static final List<String> KEYS = List.of("~*");
    private static final List<String> CHANNELS = List.of("resetchannels", "&switchback:reserved:*");

    private static final List<String> FOLLOWED = List.of("+replicaof");

    /** Where releases go by links that relay. */
    public static final SwitchbackUser RELAY = of("switchback-relay", STREAM, FOLLOWED, List.of());

    /** Where they go by links that apply. */
    public static final SwitchbackUser APPLY = of("switchback-apply", STREAM, List.of(), CLIENT_OF_TARGET);

    /** Where they relay, and what a relay cannot mend links that apply shall. */
    public static final SwitchbackUser RELAY_OR_APPLY =
            of("switchback-relay-or-apply", STREAM, FOLLOWED, CLIENT_OF_TARGET);

    /** Where they go by links that scan: no stream, and no settings, as managed services give neither. */
    public static final SwitchbackUser SCAN = of("switchback-scan", List.of(), List.of(), CLIENT_OF_TARGET);

    /** Whose rights a release needs between single servers: that of a relay, unless the way is to an older version, or back over the fork. */
    public static SwitchbackUser between(ServerBinary old, ServerBinary fresh) {
        boolean backOverTheFork = old.isValkey() && !fresh.isValkey();
        boolean older = old.isValkey() == fresh.isValkey() && ORDER.compare(fresh, old) < 0;
        return backOverTheFork || older ? APPLY : RELAY;
    }

    private static final Comparator<ServerBinary> ORDER =
            Comparator.comparingInt((ServerBinary one) -> number(one, 0)).thenComparingInt(one -> number(one, 1));

    private static int number(ServerBinary binary, int part) {
        return Integer.parseInt(Pattern.compile("\\.").split(binary.version(), -1)[part]);
    }

    /** Of all of them none is there any more, until the server is started again: for tests that look at a server's users. */
    public static void removeAll(RealServer server) {
        server.call("ACL", "DELUSER", RELAY.name(), APPLY.name(), RELAY_OR_APPLY.name(), SCAN.name());
    }

    private static SwitchbackUser of(
            String name, List<String> ofSource, List<String> ofFollower, List<String> ofClient) {
        return new SwitchbackUser(
                name,
                Stream.of(KEYS, CHANNELS, ANY_LINK, ofSource, ofFollower, ofClient)
                        .flatMap(List::stream)
                        .toList());
    }

    /** What a node's file says of it, beside where the fleet is. */
    public String yaml() {
        return "user: " + name + ", password: " + PASSWORD;
    }

    /** On a server's command line. Servers below 6.2 know no rights to channels, those below 7.2 no WAITAOF, all but Redis 8 no vector sets, and whoever names what a server does not know has it refuse to start. */
    List<String> arguments(ServerBinary binary) {
        List<String> arguments = new ArrayList<>(List.of("--user", name, "on", ">" + PASSWORD));
        boolean knowsChannels = !binary.version().startsWith("6.0.");
        boolean knowsVectorSets = !binary.isValkey() && number(binary, 0) >= 8;
        boolean knowsWaitAof =
                binary.isValkey() || number(binary, 0) > 7 || (number(binary, 0) == 7 && number(binary, 1) >= 2);
        rules.stream()
                .filter(rule -> knowsChannels || !CHANNELS.contains(rule))
                .filter(rule -> knowsWaitAof || !rule.equals("+waitaof"))
                .filter(rule -> knowsVectorSets || !rule.startsWith("+v"))
                .forEach(arguments::add);
        return arguments;
    }
}
