/** Beside the floors: the switches of a whole release over several nodes, simulated in one thread under a seed. */
@NullMarked
package io.switchback.simulation;

import org.jspecify.annotations.NullMarked;
