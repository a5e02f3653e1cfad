package io.switchback.resp;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.resp.CommandRule.Treatment;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import org.junit.jupiter.api.Test;

class CommandTableTest {

    @Test
    void aNameIsFoundInAnyCaseAndNothingElseIs() {
        for (CommandRule rule : CommandTable.rules()) {
            if (rule.name().indexOf('|') >= 0) {
                continue;
            }
            for (String name : new String[] {rule.name(), rule.name().toUpperCase(Locale.ROOT)}) {
                ByteBuf in = Unpooled.copiedBuffer("xx" + name + "yy", US_ASCII);
                assertThat(CommandTable.find(in, 2, name.length())).isEqualTo(rule);
                CommandRule longer = CommandTable.find(in, 2, name.length() + 1);
                assertThat(longer == null || !longer.equals(rule)).isTrue();
            }
        }
        ByteBuf odd = Unpooled.copiedBuffer("client|kill[et", US_ASCII);
        assertThat(CommandTable.find(odd, 0, 11)).isNull();
        assertThat(CommandTable.find(odd, 11, 3)).isNull();
    }

    @Test
    void subcommandsAreLookedAtAndUnknownOnesAreNotPassedOn() {
        assertThat(treatment("CLIENT", "pause", "1")).isEqualTo(Treatment.SESSION);
        assertThat(treatment("client", "SETNAME", "x")).isEqualTo(Treatment.SESSION);
        assertThat(treatment("CLUSTER", "RESET")).isEqualTo(Treatment.REFUSED);
        assertThat(treatment("CLUSTER", "INFO")).isEqualTo(Treatment.PLAIN);
        assertThat(treatment("SCRIPT", "DEBUG", "YES")).isEqualTo(Treatment.REFUSED);
        assertThat(treatment("COMMAND")).isEqualTo(Treatment.PLAIN);
        assertThat(CommandTable.find(CommandEncoder.bytes("CLIENT", "NEW-THING")))
                .isNull();
        assertThat(CommandTable.find(CommandEncoder.bytes("client|setname", "x")))
                .isNull();
    }

    private static Treatment treatment(String... command) {
        CommandRule rule = CommandTable.find(CommandEncoder.bytes(command));
        if (rule == null) {
            throw new AssertionError("no rule for " + String.join(" ", command));
        }
        return rule.treatment();
    }

    @Test
    void thePageOnCommandsSaysWhatTheTableSays() throws IOException {
        Path page = Path.of("..", "docs", "commands.md");
        String generated = CommandPage.write();
        if (Boolean.getBoolean("switchback.writeDocs")) {
            Files.writeString(page, generated, UTF_8);
        }
        assertThat(Files.readString(page, UTF_8))
                .as("docs/commands.md; write it again with -Dswitchback.writeDocs=true")
                .isEqualTo(generated);
    }
}
