/**
 * Floor 1: certificates and keys in files, read again when they change, and what is said when one is not accepted.
 *
 * <p>Knows nothing of the servers' protocol: it makes engines and sockets of the JDK's own TLS.
 */
@NullMarked
package io.switchback.tls;

import org.jspecify.annotations.NullMarked;
