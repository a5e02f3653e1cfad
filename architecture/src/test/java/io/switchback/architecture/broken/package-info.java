/** Breaks the house rules, so that they can be seen to bite. */
@NullMarked
package io.switchback.architecture.broken;

import org.jspecify.annotations.NullMarked;
