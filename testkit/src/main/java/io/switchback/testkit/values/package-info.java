/** What is written to servers to see whether all of it comes out elsewhere. */
@NullMarked
package io.switchback.testkit.values;

import org.jspecify.annotations.NullMarked;
