/** Compares two fleets while both move. */
@NullMarked
package io.switchback.sync.verify;

import org.jspecify.annotations.NullMarked;
