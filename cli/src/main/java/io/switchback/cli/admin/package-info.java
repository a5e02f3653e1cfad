/** Talking to a node's admin API, and showing what it answers. */
@NullMarked
package io.switchback.cli.admin;

import org.jspecify.annotations.NullMarked;
