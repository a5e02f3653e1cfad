/** The demo: two real servers, a node, real clients, and three acts. */
@NullMarked
package io.switchback.cli.demo;

import org.jspecify.annotations.NullMarked;
