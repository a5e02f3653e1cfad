/** Floor 3: links, snapshots, verify. */
@NullMarked
package io.switchback.sync;

import org.jspecify.annotations.NullMarked;
