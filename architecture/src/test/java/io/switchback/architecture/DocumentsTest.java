package io.switchback.architecture;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DocumentsTest {
    private static final Map<Path, String> FILES = TextFiles.below(House.folder());

    @TempDir
    Path folder;

    @Test
    void theWholeCheckoutWasRead() {
        assertThat(FILES).hasSizeGreaterThan(100);
        assertThat(FILES)
                .containsKey(House.folder().resolve("pom.xml"))
                .containsKey(House.folder().resolve("mvnw"));
    }

    @Test
    void everyLinkBetweenDocumentsLeadsSomewhere() {
        assertThat(Documents.deadLinks(FILES)).isEmpty();
    }

    @Test
    void noFileNamesAPathOfSomebodysMachine() {
        assertThat(Documents.machinePaths(FILES)).isEmpty();
    }

    @Test
    void everySourceFileOpensWithWhatItIs() {
        assertThat(Documents.unexplained(FILES)).isEmpty();
    }

    @Test
    void aDeadLinkIsNamed() throws IOException {
        file("docs/a.md", """
                # Title here, and more
                ## Again
                ## Again
                [good](b.md) [good](../c.txt) [good](b.md#life-of-a-command) [good](#title-here-and-more) [good](#again-1)
                [web](https://example.org/none.md) ![good](../c.txt "with a title") `[code](none.md)`
                [dead](d.md) [dead](b.md#death) [dead](#again-2)
                """);
        file("docs/b.md", "## Life of a command\n");
        file("c.txt", "text");
        assertThat(Documents.deadLinks(TextFiles.below(folder)))
                .hasSize(3)
                .anyMatch(text -> text.contains("d.md"))
                .anyMatch(text -> text.contains("b.md#death"))
                .anyMatch(text -> text.contains("#again-2"));
    }

    @Test
    void aPathOfAMachineIsNamedAndAnOrdinaryOneIsNot() throws IOException {
        String bad = "/" + "home/somebody/x";
        file("bad.txt", "see " + bad + " and \"" + bad + "\"");
        file("good.txt", "$HOME/work/x, src/home/x, a ~/work/y, https://example.org/home/, $folder/root/lib");
        assertThat(Documents.machinePaths(TextFiles.below(folder)))
                .hasSize(2)
                .allMatch(text -> text.contains("bad.txt"));
    }

    @Test
    void aSourceFileThatDoesNotSayWhatItIsIsNamed() throws IOException {
        file("room/src/main/java/A.java", "package x;\n\npublic final class A {\n /** Late. */ int a; }\n");
        file("room/src/main/java/B.java", "package x;\n\n/** Says it. */\nrecord B() {}\n");
        assertThat(Documents.unexplained(TextFiles.below(folder)))
                .singleElement()
                .asString()
                .contains("A.java");
    }

    private void file(String path, String text) throws IOException {
        Path file = folder.resolve(path);
        Files.createDirectories(file.getParent());
        Files.writeString(file, text);
    }
}
