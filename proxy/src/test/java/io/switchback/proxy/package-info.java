@NullMarked
package io.switchback.proxy;

import org.jspecify.annotations.NullMarked;
