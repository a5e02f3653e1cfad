/** Ground floor: time, randomness and ids, through one seam. */
@NullMarked
package io.switchback.environment;

import org.jspecify.annotations.NullMarked;
