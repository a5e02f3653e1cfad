package io.switchback.architecture;

import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/** The house as it stands: the rooms with their floors, the compiled classes, the folder of the sources. */
final class House {
    static final String ROOT_PACKAGE = "io.switchback";

    /** A room knows only rooms of lower floors; rooms of one floor do not know each other. */
    static final Map<String, Integer> FLOORS = Map.ofEntries(
            Map.entry("environment", 0),
            Map.entry("config", 1),
            Map.entry("resp", 1),
            Map.entry("ledger", 1),
            Map.entry("peers", 1),
            Map.entry("tls", 1),
            Map.entry("commit", 2),
            Map.entry("fleet", 2),
            Map.entry("proxy", 3),
            Map.entry("sync", 3),
            Map.entry("simulation", 3),
            Map.entry("release", 4),
            Map.entry("server", 5),
            Map.entry("cli", 6));

    /** Beside the floors: knows no room, and is known only by the demo. */
    static final String TESTKIT = "testkit";

    static final String DEMO_PACKAGE = ROOT_PACKAGE + ".cli.demo";

    /** All classes of the rooms and of the testkit, none of tests. */
    static final JavaClasses CLASSES = new ClassFileImporter()
            .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
            .importPackages(ROOT_PACKAGE);

    private House() {}

    /** The folder of the checkout: tests run in their module's folder. */
    static Path folder() {
        Path folder = Path.of("").toAbsolutePath().getParent();
        if (folder == null || !Files.exists(folder.resolve("mvnw"))) {
            throw new IllegalStateException(
                    "Not started in a module's folder: " + Path.of("").toAbsolutePath());
        }
        return folder;
    }

    /** The room of a class: the part of its package name that follows the root. */
    static String room(JavaClass javaClass) {
        String rest = javaClass.getPackageName().substring(ROOT_PACKAGE.length());
        return rest.isEmpty() ? "" : rest.substring(1).split("\\.", 2)[0];
    }

    static boolean isOurs(JavaClass javaClass) {
        return javaClass.getPackageName().equals(ROOT_PACKAGE)
                || javaClass.getPackageName().startsWith(ROOT_PACKAGE + ".");
    }

    static boolean isIn(JavaClass javaClass, String packageName) {
        return javaClass.getPackageName().equals(packageName)
                || javaClass.getPackageName().startsWith(packageName + ".");
    }
}
