/** Floor 3: the cache data plane. */
@NullMarked
package io.switchback.proxy;

import org.jspecify.annotations.NullMarked;
