/** Client libraries as applications use them, through a node, in the middle of switches. */
@NullMarked
package io.switchback.clients;

import org.jspecify.annotations.NullMarked;
