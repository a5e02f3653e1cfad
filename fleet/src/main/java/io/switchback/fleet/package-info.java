/** Floor 2: what a cache fleet is: connections, versions, dialects, roles, settings. */
@NullMarked
package io.switchback.fleet;

import org.jspecify.annotations.NullMarked;
