package io.switchback.proxy;

/**
 * A key of a large command or reply.
 *
 * @param key what is no printable text in it as {@code \xNN}; only the beginning of a long one
 * @param command the one that was so large, or whose reply was
 * @param bytes of the largest command or reply that has passed lately and was about this key alone; of a reply of many elements up to an eighth may be missing
 * @param secondsAgo when it was last seen to be large
 */
public record BigKey(String key, int database, String command, long bytes, long secondsAgo) {}
