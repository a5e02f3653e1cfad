/** Beside the floors: what Switchback costs, measured beside direct access. */
@NullMarked
package io.switchback.bench;

import org.jspecify.annotations.NullMarked;
