package io.switchback.sync.apply;

import java.util.List;

/**
 * Keys whose state at the target may not be the source's: an effect has met a key there that the target had let go by itself.
 *
 * @param from the start of what was being applied
 */
record Trouble(List<Key> keys, Place from) {
    Trouble {
        keys = List.copyOf(keys);
    }
}
