/** Floor 1: the files a person writes, read with every mistake reported at once. */
@NullMarked
package io.switchback.config;

import org.jspecify.annotations.NullMarked;
