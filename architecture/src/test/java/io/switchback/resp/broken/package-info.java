/** A part of a room that breaks the house rules, so that they can be seen to bite. */
@NullMarked
package io.switchback.resp.broken;

import org.jspecify.annotations.NullMarked;
