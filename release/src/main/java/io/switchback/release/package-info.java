/** Floor 4: the release: file, steps, gates, switch, the engine that runs and resumes them. */
@NullMarked
package io.switchback.release;

import org.jspecify.annotations.NullMarked;
