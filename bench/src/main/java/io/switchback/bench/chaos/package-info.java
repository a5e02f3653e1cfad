/** Random faults on real processes while releases go forward and back, and a check of every client's history. */
@NullMarked
package io.switchback.bench.chaos;

import org.jspecify.annotations.NullMarked;
