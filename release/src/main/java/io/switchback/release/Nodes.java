package io.switchback.release;

import io.switchback.ledger.Member;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/** The nodes that serve the same caches, as one of them knows them. Any thread. */
public interface Nodes {
    /** This node. */
    Member self();

    /** Whether there can be others: only this process can write to a ledger that is not shared. */
    boolean isShared();

    /** Another process has taken this node's name: this one must serve nobody any more. Returns at once; may be told again. */
    void superseded();

    /**
     * Asks a node, which may be this one. Asked at most once; the future fails within about the limit where there is no answer, and the
     * node may have been asked all the same.
     */
    CompletableFuture<byte[]> ask(String node, String subject, byte[] question, Duration limit);

    /** Asks all of these that serve the cache, at once. */
    default Map<Member, CompletableFuture<byte[]>> askThoseWhoServe(
            String cache, List<Member> members, String subject, byte[] question, Duration limit) {
        Map<Member, CompletableFuture<byte[]>> answers = new LinkedHashMap<>();
        for (Member member : members) {
            if (member.caches().contains(cache)) {
                answers.put(member, ask(member.node(), subject, question, limit));
            }
        }
        return answers;
    }
}
