/** Floor 1: durable state: journal, write-once decisions, routes. */
@NullMarked
package io.switchback.ledger;

import org.jspecify.annotations.NullMarked;
