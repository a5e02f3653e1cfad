/** Floor 6: the switchback command. */
@NullMarked
package io.switchback.cli;

import org.jspecify.annotations.NullMarked;
