package io.switchback.clients;

import java.util.List;
import java.util.Map;

/**
 * What the clients of one library in one protocol were told, for as long as they ran.
 *
 * @param clients the library and its protocol; the names of all their keys and channels begin with it and a colon
 * @param acknowledged for each counter that one client alone increments, how often it was told that it had
 * @param published how many messages were published: the numbers from 0 on, in this order
 * @param heard what the subscriber to the channel heard, in the order in which it did
 * @param heardByPattern what the subscriber to the pattern heard
 * @param pushed how many elements were pushed to the queue: the numbers from 0 on
 * @param taken what all the consumers took, in no order
 * @param together how many transactions that increment both of two counters were acknowledged
 * @param halves transactions whose two answers were not the same
 * @param won increments under WATCH, or whatever the library has instead, that were acknowledged
 * @param lost those that were refused because another one came first, or because of a switch
 * @param wronglyWon those that were acknowledged although the counter had been written since they read it
 * @param cachedReads reads that the library answered from its cache; 0 where it has none in this protocol
 * @param stale what was read from the cache although something newer was acknowledged and had been seen
 * @param lastCached what the cached reader saw last, by its key
 * @param stored what the server has under these keys in the end
 * @param locked updates under a lock of the library's; 0 where it has none
 * @param failures errors of any kind that a client saw
 * @param disconnections connections that the library says it lost
 */
record Findings(
        String clients,
        Map<String, Long> acknowledged,
        int published,
        List<Integer> heard,
        List<Integer> heardByPattern,
        int pushed,
        List<Integer> taken,
        long together,
        List<String> halves,
        long won,
        long lost,
        List<String> wronglyWon,
        long cachedReads,
        List<String> stale,
        Map<String, String> lastCached,
        Map<String, String> stored,
        long locked,
        List<String> failures,
        List<String> disconnections) {

    /** The two counters that are incremented together; in a cluster they are of one slot. */
    static final String LEFT = "{pair}left";

    static final String RIGHT = "{pair}right";

    /** The full name of one of their keys. */
    String key(String name) {
        return clients + ":" + name;
    }
}
