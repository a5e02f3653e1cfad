/** The link that applies its source's stream at the target as a client, where the target cannot follow a relay (docs/apply.md). */
@NullMarked
package io.switchback.sync.apply;

import org.jspecify.annotations.NullMarked;
