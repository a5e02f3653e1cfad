/** Reads snapshots and serialized values, and says by which commands a given server gets the same. */
@NullMarked
package io.switchback.sync.rdb;

import org.jspecify.annotations.NullMarked;
