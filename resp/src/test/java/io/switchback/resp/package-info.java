@NullMarked
package io.switchback.resp;

import org.jspecify.annotations.NullMarked;
