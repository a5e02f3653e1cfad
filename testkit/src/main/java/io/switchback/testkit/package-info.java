/** Beside the floors: real servers, load with a recorded history, checkers, faults. */
@NullMarked
package io.switchback.testkit;

import org.jspecify.annotations.NullMarked;
