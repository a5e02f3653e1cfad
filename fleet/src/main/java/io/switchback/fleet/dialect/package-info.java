/** Which commands and arguments a server knows, how a stream is put into another server's words, and what a way back cannot carry. */
@NullMarked
package io.switchback.fleet.dialect;

import org.jspecify.annotations.NullMarked;
