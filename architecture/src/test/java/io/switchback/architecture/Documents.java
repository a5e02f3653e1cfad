package io.switchback.architecture;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What is forbidden in text: links that lead nowhere, paths of somebody's machine, sources that do not say what they are. */
final class Documents {
    private static final Pattern LINK = Pattern.compile("\\]\\(([^)\\s]+)(?:\\s+\"[^\"]*\")?\\)");
    private static final Pattern CODE = Pattern.compile("(?ms)^```.*?^```|`[^`\n]*`");
    private static final Pattern HEADING = Pattern.compile("(?m)^#{1,6}\\s+(.*?)\\s*#*$");
    private static final Pattern ELSEWHERE = Pattern.compile("^(?:[a-z][a-z0-9+.-]*:|//).*");

    // A path that begins at the root, into a folder where people and build machines keep their work.
    private static final Pattern MACHINE_PATH =
            Pattern.compile("(?<![\\w.$}*~)/-])/(?:work|root|home|Users|workspace|builds?|tmp/wt)/[\\w.-]*");
    private static final Pattern TYPE = Pattern.compile(
            "(?m)^(?:public |abstract |final |sealed |non-sealed )*(?:class|record|interface|enum|@interface) ");

    private Documents() {}

    /** Links in Markdown files to files or headings that are not there. */
    static List<String> deadLinks(Map<Path, String> files) {
        List<String> dead = new ArrayList<>();
        files.forEach((file, text) -> {
            if (file.toString().endsWith(".md")) {
                Matcher link = LINK.matcher(CODE.matcher(text).replaceAll(""));
                while (link.find()) {
                    String target = link.group(1);
                    if (!ELSEWHERE.matcher(target).matches() && !leadsSomewhere(file, target, files)) {
                        dead.add(file + " links to " + target + ", which is not there");
                    }
                }
            }
        });
        return dead;
    }

    private static boolean leadsSomewhere(Path file, String target, Map<Path, String> files) {
        int hash = target.indexOf('#');
        String path = hash < 0 ? target : target.substring(0, hash);
        Path there = path.isEmpty() ? file : file.resolveSibling(path).normalize();
        if (hash < 0 || !there.toString().endsWith(".md")) {
            return Files.exists(there);
        }
        String text = files.get(there);
        return text != null && anchors(text).contains(target.substring(hash + 1));
    }

    /** As they are made from headings by the usual viewers: lower case, no punctuation, hyphens for spaces, numbered when repeated. */
    private static Set<String> anchors(String text) {
        Set<String> anchors = new HashSet<>();
        Map<String, Integer> seen = new HashMap<>();
        Matcher heading = HEADING.matcher(text);
        while (heading.find()) {
            String anchor = heading.group(1)
                    .toLowerCase(Locale.ROOT)
                    .replaceAll("\\[([^]]*)]\\([^)]*\\)", "$1")
                    .replaceAll("[^\\p{L}\\p{N} _-]", "")
                    .replace(' ', '-');
            int times = seen.merge(anchor, 1, Integer::sum);
            anchors.add(times == 1 ? anchor : anchor + "-" + (times - 1));
        }
        return anchors;
    }

    /** Absolute paths that exist on somebody's machine only. */
    static List<String> machinePaths(Map<Path, String> files) {
        List<String> found = new ArrayList<>();
        files.forEach((file, text) -> {
            Matcher path = MACHINE_PATH.matcher(text);
            while (path.find()) {
                found.add(file + " names " + path.group());
            }
        });
        return found;
    }

    /** Source files of the rooms that do not open with what they are. */
    static List<String> unexplained(Map<Path, String> files) {
        List<String> found = new ArrayList<>();
        files.forEach((file, text) -> {
            if (file.toString().endsWith(".java") && file.toString().contains("/src/main/")) {
                Matcher type = TYPE.matcher(text);
                int end = type.find() ? type.start() : text.length();
                if (!text.substring(0, end).contains("/**")) {
                    found.add(file + " does not open with what it is");
                }
            }
        });
        return found;
    }
}
