package io.switchback.cli;

import io.switchback.cli.admin.AdminClient;
import io.switchback.cli.demo.DemoCommand;
import io.switchback.config.ConfigException;
import io.switchback.fleet.FleetException;
import io.switchback.ledger.LedgerException;
import io.switchback.release.ReleaseException;
import io.switchback.server.NodeException;
import java.io.PrintStream;
import java.util.Arrays;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.HelpCommand;

/**
 * The {@code switchback} command.
 *
 * <p>Its exit codes are in its help, and below.
 */
@Command(
        name = "switchback",
        description = "Upgrades a live cache, and takes it back, without anyone noticing.",
        subcommands = {
            ServeCommand.class,
            ReleaseCommands.class,
            NodeCommands.class,
            CacheCommands.class,
            WhereCommand.class,
            DemoCommand.class,
            SimulateCommand.class,
            HelpCommand.class
        },
        mixinStandardHelpOptions = true,
        version = "switchback 0.1.0-SNAPSHOT",
        exitCodeListHeading = "%nExit codes:%n",
        exitCodeList = {
            "0:done",
            "1:it ended otherwise than asked: a release failed, the demo found something",
            "2:the command line or a file has a mistake, or there is no such release",
            "3:a node or a server could not be reached, or refused"
        },
        footer = {
            "",
            "A first look:        switchback demo",
            "A node:              switchback serve node.yaml",
            "A release on it:     switchback release start release.yaml --follow",
            "The worst night:     switchback where node.yaml",
            "How it is tried:     switchback simulate --seeds 1000"
        })
public final class Main {
    static final int DONE = 0;
    static final int ENDED_OTHERWISE = 1;
    static final int MISTAKE = 2;
    static final int UNREACHABLE = 3;

    private Main() {}

    /** Runs a command and ends the process with its exit code. */
    public static void main(String[] arguments) {
        System.exit(run(System.out, System.err, arguments));
    }

    static int run(PrintStream out, PrintStream err, String... arguments) {
        CommandLine line = new CommandLine(new Main(), new Factory(out, err));
        line.setOut(new java.io.PrintWriter(out, true, java.nio.charset.StandardCharsets.UTF_8));
        line.setErr(new java.io.PrintWriter(err, true, java.nio.charset.StandardCharsets.UTF_8));
        line.setCaseInsensitiveEnumValuesAllowed(true);
        line.setExecutionExceptionHandler((failure, command, parsed) -> {
            err.println("switchback: " + failure.getMessage());
            return exitCode(failure);
        });
        if (arguments.length == 0) {
            line.usage(out);
            return MISTAKE;
        }
        return line.execute(helped(arguments));
    }

    /** {@code help release start} teaches what {@code release start --help} does. */
    private static String[] helped(String... arguments) {
        if (arguments.length < 3 || !arguments[0].equals("help")) {
            return arguments;
        }
        String[] asOption = Arrays.copyOfRange(arguments, 1, arguments.length + 1);
        asOption[asOption.length - 1] = "--help";
        return asOption;
    }

    private static int exitCode(Exception failure) throws Exception {
        return switch (failure) {
            case ConfigException e -> MISTAKE;
            case NodeException e -> MISTAKE;
            case AdminClient.Unreachable e -> UNREACHABLE;
            case AdminClient.Refused e -> e.status() == 400 || e.status() == 404 ? MISTAKE : UNREACHABLE;
            case LedgerException e -> UNREACHABLE;
            case FleetException e -> UNREACHABLE;
            case ReleaseException e -> ENDED_OTHERWISE;
            default -> throw failure;
        };
    }

    /** Gives every command the two streams, so that a test can read what a person would. */
    private record Factory(PrintStream out, PrintStream err) implements CommandLine.IFactory {
        @Override
        public <K> K create(Class<K> type) throws Exception {
            if (type == ServeCommand.class) {
                return type.cast(new ServeCommand(out));
            }
            if (type == ReleaseCommands.class) {
                return type.cast(new ReleaseCommands(out));
            }
            if (type == NodeCommands.class) {
                return type.cast(new NodeCommands(out));
            }
            if (type == CacheCommands.class) {
                return type.cast(new CacheCommands(out));
            }
            if (type == WhereCommand.class) {
                return type.cast(new WhereCommand(out));
            }
            if (type == DemoCommand.class) {
                return type.cast(new DemoCommand(out));
            }
            if (type == SimulateCommand.class) {
                return type.cast(new SimulateCommand(out));
            }
            return CommandLine.defaultFactory().create(type);
        }
    }
}
