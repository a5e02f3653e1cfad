/** Floor 1: questions and answers between the nodes of one ledger. */
@NullMarked
package io.switchback.peers;

import org.jspecify.annotations.NullMarked;
