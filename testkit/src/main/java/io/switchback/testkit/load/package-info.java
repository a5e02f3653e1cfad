/** Load by real clients that remember what they were told, and the check that it is true. */
@NullMarked
package io.switchback.testkit.load;

import org.jspecify.annotations.NullMarked;
