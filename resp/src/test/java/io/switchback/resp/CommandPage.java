package io.switchback.resp;

import java.util.List;
import java.util.Locale;

/** Writes docs/commands.md out of the table that the proxy uses. */
final class CommandPage {
    private static final String HEAD = """
            # Commands

            What happens to each command that a client sends to a cache, for all servers from Redis 6.0 and Valkey 8.1 on.
            This page is written out of the table that the proxy uses; a test compares the two.

            - *plain*: passed on as it is, over a connection that many clients share. Whether the server knows it, and whether
              the user may use it, is the server's to say.
            - *filtered*: passed on, and the reply is changed where the last column says so.
            - *blocking*: passed on; where it asks the server to wait, over a connection of the session's own.
            - *session*: belongs to the client's own session; the last column says who answers.
            - *refused*: answered by an error that begins with `ERR switchback:` and never sent.

            A command that is not listed is refused with `ERR unknown command`, also where the server has a module that knows it:
            nobody can say what it would leave behind on a connection that others use. Inside MULTI, what the session
            answers (AUTH, HELLO, CLIENT, SUBSCRIBE and its like) is refused, and the transaction with it; so is the SCAN family with another
            cursor than 0.

            *Again* says whether a command is sent again when its connection broke before it was answered. Where it is
            not, the client is told that the command may or may not have run.

            *In a cluster* says where a command goes whose fleet is a cluster; see below.

            Names that begin with `switchback:reserved:` are Switchback's own: no argument of a command may begin so, and
            SCAN, KEYS, RANDOMKEY and DBSIZE do not show them (inside MULTI and scripts they do).

            ## Differences from a client that is connected to the server itself
            - CLIENT ID, INFO, GETNAME, SETNAME, SETINFO, NO-EVICT and REPLY are answered by Switchback, on servers that do not know them
              too; the id is Switchback's. CLIENT LIST, KILL and UNBLOCK are about the clients of the node that is asked.
            - RESET works on Redis 6.0 too.
            - SELECT wants its number without zeros in front.
            - While a script or function runs for longer than the server's `busy-reply-threshold`, who shares its connection waits for its end and is
              not told BUSY: the clients of one event loop, user, database and protocol. SCRIPT KILL and FUNCTION KILL reach the server. A client
              that begins with HELLO may wait as well; one of RESP2 need not say HELLO.
            - A client that authenticates again, or changes the protocol, within WATCH loses what was watched: the next EXEC answers nil.
            - Passwords and user names must be UTF-8.
            - A script can still reach reserved keys.
            - A client that is subscribed to something cannot authenticate as another user. It is closed where the connection that brings its
              messages breaks, and where a message has more than 64 MiB; where it does not keep up, the server's own limit for subscribers
              (`client-output-buffer-limit pubsub`) closes it. A client of RESP2 that subscribes within WATCH loses what was watched.
            - PUBSUB shows the channel `switchback:reserved:switch`, and numbers of subscribers that are Switchback's.
            - WAIT and WAITAOF wait for everything that was written at the server before, by whomever. They are sent as the fleet's user in the
              node's file, WAIT behind a message without meaning to the channel `switchback:reserved:switch`, WAITAOF behind `SWAPDB 0 0`, which changes
              nothing and is written down as a change: the fleet's user needs the right to that. A client's user needs the right to WAIT or WAITAOF none the less.
            - Where the server wants a password, it ends a connection over which somebody who has not given one sends more than 10 arguments or
              16 KiB; such clients share one, and their commands that are under way fail as well.
            - SELECT, AUTH, HELLO, CLIENT, KEYS, SCAN and its like take no argument of 256 KiB or more.
            - XREAD with BLOCK takes `$` 4,096 times at the most.
            - A command that may wait (BLPOP and its like, XREAD with BLOCK, WAIT) has no more than 1 MiB.
            - A command with an argument of 256 KiB or more is passed on as it comes. Where its connection breaks before the server has all of it, the
              client is told that it has not run.
            - A client that closes its sending side before it has its replies (`nc -N`) does not get them: it cannot be told from one that has given
              up, and what that had still to be sent must not run later, behind what it sends over its next connection.

            ## In a switch
            - Commands that wait go on waiting at the other fleet for the time that is left; the order among those that wait for one key may
              change. WAIT counts the replicas of the fleet that is in use when it answers.
            - Subscriptions go along: no message is lost, none comes twice, and those of one publisher keep their order. For this the user of a
              subscriber, and the user of the fleets in the node's file, need the channel `switchback:reserved:switch` (in rules of ACL:
              `&switchback:reserved:switch`); without it what clients of other nodes publish in the few milliseconds of a switch can be missed.
            - Scripts that were loaded or run over a node (the last 500 of them, and 16 MiB) are there as well, unless the node was started anew since.
              For this the fleet's user needs the right to SCRIPT. Where they cannot be brought the switch goes on, and EVALSHA answers NOSCRIPT.
            - A cursor of SCAN begins again.
            - The next EXEC after WATCH answers nil; a MULTI goes on.

            ## In front of a cluster
            - To a client it is one server: it is never redirected. What MOVED, ASK, TRYAGAIN, CLUSTERDOWN, LOADING, MASTERDOWN and READONLY say has
              not run, and is sent again, for up to 5 s; then the client gets that error as it is. So it does where a later command of its own
              has run meanwhile for a key of that one: in its place it would come out of order.
            - A cluster client finds a cluster of one node with all slots: the node that it is connected to, at the address by which it has come; or of all nodes of a ledger that have `announce` ([fleets.md](fleets.md#clusters)).
            - Reads may go to replicas ([replicas.md](replicas.md#clusters)); READONLY and READWRITE are answered OK, without effect.
            - A command with keys of several slots is answered `CROSSSLOT`, as by a server, but for MGET, MSET, DEL, UNLINK, EXISTS and TOUCH, which are
              split. Such a MSET is not atomic, and where one of its slots fails the others have been set.
            - Commands that are sent together and are of different shards run in any order; their replies keep theirs. Those for one key keep their order.
            - Within MULTI and WATCH all keys must be of one slot.
            - SCAN begins again where the cluster's layout has changed; what is being moved between two shards during one walk can be missed, as by any client that
              asks each shard. KEYS, DBSIZE and RANDOMKEY (a key of any shard, which is chosen in turn) likewise.
            - Scripts run at the shard of their keys. SCRIPT LOAD loads them at every shard. What was run or loaded over the node, and is not where EVALSHA goes (since EVAL
              has run it at another shard, or a server has lost it), is brought there first, where the client may SCRIPT LOAD. The client hears NOSCRIPT all the same within MULTI, and
              where a later command of its own has run meanwhile for a key of that one.
            - A client may have shard channels (SSUBSCRIBE) of every shard, beside channels and patterns; those of one command must be of one slot, as at a server. It counts as one subscriber. Messages of channels of different shards have no order among
              them. Where a slot moves, or a primary hands over to its replica, its channels are subscribed to anew where the slot is, and the client is not told; what is published there in the moment before
              is missed, as by any cluster client. Where a primary dies that brings something, the client is closed.
            - Commands that are about one server (INFO, CONFIG GET, SLOWLOG, MEMORY STATS, BGSAVE, LATENCY, DEBUG and the like) are answered by one node.
            - Of notifications about keys (`__keyspace@0__:` and its like) a subscriber hears those of one shard: servers do not pass them on to each other.
            - WAIT and WAITAOF ask every shard, and the least of what they say is the answer. What is written for that in front is a key `switchback:reserved:wait:{…}` of each shard, set and
              deleted in one transaction; the fleet's user needs the right to that. Servers are let wait for 10 ms at a time, and asked again.
            - CLIENT TRACKING: what a client that tracks asks for goes over connections of its own to each shard, and invalidations come from all of them, none before a reply that
              the shard gave before it. The client is told to forget everything where one of these connections breaks, where a command of its own was redirected, and behind EXEC and XREAD with BLOCK, since what
              they read is not tracked. With REDIRECT, to a client of the same node, all of this is told to the target, in its protocol, at once, and again where the client that tracks had no replies yet to what it had sent; and the next command of the client that tracks waits until the target knows
              that everything is to be forgotten. CLIENT TRACKINGINFO says of a target that is gone what any shard has noticed.
            - SCRIPT KILL and FUNCTION KILL go to every shard: OK where one has killed something, NOTBUSY where nothing runs anywhere. CLIENT PAUSE and UNPAUSE are said to every shard.
            - MONITOR brings the lines of every shard as they come, also of one that joins later. The client is closed where one of the connections breaks.
            - Refused are CLIENT NO-TOUCH and IMPORT-SOURCE. A client for which one of them is on is closed by a switch that leads to a cluster.

            | command | treatment | again | in a cluster | |
            | --- | --- | --- | --- | --- |
            """;

    private CommandPage() {}

    static String write() {
        StringBuilder page = new StringBuilder(HEAD);
        for (CommandRule rule : CommandTable.rules()) {
            if (rule.treatment() == CommandRule.Treatment.BY_SUBCOMMAND) {
                continue;
            }
            page.append("| ")
                    .append(rule.name()
                            .replace("|*", " (others)")
                            .replace('|', ' ')
                            .toUpperCase(Locale.ROOT))
                    .append(" | ")
                    .append(words(rule))
                    .append(" | ")
                    .append(rule.repeatable() ? "yes" : "")
                    .append(" | ")
                    .append(placement(rule))
                    .append(" | ")
                    .append(rule.note())
                    .append(" |\n");
        }
        return page.toString();
    }

    private static String placement(CommandRule rule) {
        List<String> everywhere =
                CommandTable.subcommandsOfEveryShard(rule.name().replace("|*", ""));
        if (!everywhere.isEmpty()) {
            return "every shard, joined: " + String.join(", ", everywhere) + "; else one node";
        }
        boolean isRefused = rule.treatment() == CommandRule.Treatment.REFUSED
                && rule.placement() != CommandRule.Placement.SWITCHBACK;
        boolean isOfSession =
                rule.treatment() == CommandRule.Treatment.SESSION && rule.placement() == CommandRule.Placement.ONE;
        return isRefused || isOfSession ? "" : rule.placement().words();
    }

    private static String words(CommandRule rule) {
        return switch (rule.treatment()) {
            case PLAIN, SCRIPT, BY_SUBCOMMAND -> "plain";
            case BLOCKING -> "blocking";
            case FILTERED -> "filtered";
            case SESSION -> "session";
            case REFUSED -> "refused";
        };
    }
}
