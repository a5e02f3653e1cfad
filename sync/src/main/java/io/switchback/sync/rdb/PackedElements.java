package io.switchback.sync.rdb;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** The elements of a value that its server keeps in one piece of memory, one after the other; for one thread. */
interface PackedElements {
    /** The next one as bytes (a number as its decimal text), or null behind the last, when all bytes were taken. */
    byte @Nullable [] next() throws IOException;

    /** As {@link #next}, where there must be one. */
    default byte[] demand() throws IOException {
        byte[] element = next();
        if (element == null) {
            throw malformed("a value ends where one more element must be");
        }
        return element;
    }

    /** What is wrong, and where. */
    RdbFormatException malformed(String what);
}
