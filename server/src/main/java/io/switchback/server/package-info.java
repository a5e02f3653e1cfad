/** Floor 5: one node: proxy, links, engine, ledger, admin API. */
@NullMarked
package io.switchback.server;

import org.jspecify.annotations.NullMarked;
