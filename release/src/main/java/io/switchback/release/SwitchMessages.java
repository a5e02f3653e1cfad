package io.switchback.release;

import io.switchback.commit.Protocol;
import io.switchback.commit.Seat;
import io.switchback.commit.Standing;
import io.switchback.commit.SwitchId;
import io.switchback.commit.Terms;
import io.switchback.ledger.Verdict;
import io.switchback.release.SwitchRegister.Evidence;
import java.time.Duration;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** What the parties of a switch ask each other, each with its subject and its answer. All of it may come twice, late, or never. */
final class SwitchMessages {
    /** {@link MakeReady}, answered by {@link Readiness}. */
    static final String READY = "switch/ready";
    /** {@link Prepare}, answered by {@link Vote}. */
    static final String PREPARE = "switch/prepare";
    /** {@link PreCommit}, answered by {@link Heard}. */
    static final String PRE_COMMIT = "switch/pre-commit";
    /** {@link Tell}, answered by {@link Acknowledgement}. */
    static final String TELL = "switch/tell";
    /** {@link PeerQuestion}, answered by {@link PeerAnswer}. */
    static final String PEER = "switch/peer";

    private SwitchMessages() {}

    /** The name of a participant: one cache on one node. */
    static String participant(String node, String cache) {
        return node + "/" + cache;
    }

    static String nodeOf(String participant) {
        return participant.substring(0, participant.indexOf('/'));
    }

    static String cacheOf(String participant) {
        return participant.substring(participant.indexOf('/') + 1);
    }

    /**
     * Do everything that can be done, or can fail, while clients are still served.
     *
     * @param fromAnswers whether the fleet that is left answers at all
     * @param mark what the switch will publish there once everybody holds (see {@code CacheProxy.openAhead}); empty where
     *     it will not
     */
    record MakeReady(
            SwitchPart part,
            Protocol protocol,
            Set<String> participants,
            long limitMillis,
            long holdLimitMillis,
            boolean fromAnswers,
            String mark) {
        Seat seat(String participant) {
            return new Terms(part.id(), protocol, participants).seat(participant);
        }

        Duration limit() {
            return Duration.ofMillis(limitMillis);
        }

        Duration holdLimit() {
            return Duration.ofMillis(holdLimitMillis);
        }
    }

    /** Why not: {@code problem} is empty where the node is ready. */
    record Readiness(String problem) {}

    /** Hold, and vote. */
    record Prepare(String release, long number, String cache) {
        SwitchId id() {
            return new SwitchId(release, number);
        }
    }

    /** Why not: {@code no} is empty for a yes. */
    record Vote(String no) {}

    /** All have voted yes, the fence stands, and this is what it found. */
    record PreCommit(String release, long number, String cache, Evidence evidence) {
        SwitchId id() {
            return new SwitchId(release, number);
        }
    }

    /** It is in the participant's log; or, where {@code over}, the switch is over there. */
    record Heard(boolean over) {}

    /**
     * What the register says.
     *
     * @param rolesChanged whether the servers have their roles already; else the node sees to it itself
     * @param evidence what a COMMIT rests on; absent with an ABORT
     */
    record Tell(
            String release,
            long number,
            String cache,
            Verdict verdict,
            boolean rolesChanged,
            @Nullable Evidence evidence) {
        SwitchId id() {
            return new SwitchId(release, number);
        }
    }

    /**
     * It is carried out.
     *
     * @param heldNanos for how long this node's clients were held by this switch; 0 where they were not
     */
    record Acknowledgement(long heldNanos) {}

    /** A participant has heard nothing for too long, and says where it stands. {@code evidence} goes with PRE_COMMITTED. */
    record PeerQuestion(
            String release,
            long number,
            String asked,
            String asking,
            Standing standing,
            @Nullable Evidence evidence) {
        SwitchId id() {
            return new SwitchId(release, number);
        }
    }

    /** Where the one that was asked stands; nothing where the switch is over there, which only the register knows more of. */
    record PeerAnswer(@Nullable Standing standing, @Nullable Evidence evidence) {}
}
