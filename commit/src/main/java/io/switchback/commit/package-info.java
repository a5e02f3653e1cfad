/** Floor 2: atomic commit as pure state machines. */
@NullMarked
package io.switchback.commit;

import org.jspecify.annotations.NullMarked;
