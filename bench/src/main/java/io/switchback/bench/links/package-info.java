/** Links whose processes are killed at random moments while clients write, between all pairs of versions, forward and back, and a comparison of both sides. */
@NullMarked
package io.switchback.bench.links;

import org.jspecify.annotations.NullMarked;
