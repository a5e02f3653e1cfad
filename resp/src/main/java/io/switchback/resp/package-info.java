/** Floor 1: RESP framing and the command table. No sockets, no threads. */
@NullMarked
package io.switchback.resp;

import org.jspecify.annotations.NullMarked;
