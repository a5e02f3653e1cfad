/** The house rules, as tests. */
@NullMarked
package io.switchback.architecture;

import org.jspecify.annotations.NullMarked;
