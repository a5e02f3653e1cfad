/** A link's side toward its source: the connection of a replica, the stream that it reads, and what the source says of both. */
@NullMarked
package io.switchback.sync.source;

import org.jspecify.annotations.NullMarked;
