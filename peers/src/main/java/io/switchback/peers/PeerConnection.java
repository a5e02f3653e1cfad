package io.switchback.peers;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.SimpleChannelInboundHandler;
import io.switchback.peers.Frame.Answer;
import io.switchback.peers.Frame.Failure;
import io.switchback.peers.Frame.Hello;
import io.switchback.peers.Frame.Malformed;
import io.switchback.peers.Frame.Proof;
import io.switchback.peers.Frame.Question;
import io.switchback.peers.Frame.Welcome;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One connection between two nodes: the side that opened it asks, the other answers.
 *
 * <p>Owned by its channel's event loop. Whatever does not belong there ends the connection: what was asked over it is then
 * LOST, and whoever asks next gets a new one.
 */
@SuppressWarnings("FutureReturnValueIgnored") // what becomes of a close or write is told by other events
final class PeerConnection extends SimpleChannelInboundHandler<ByteBuf> {
    /** Questions of one connection that wait for their answers. */
    static final int QUESTIONS_MAX = 256;

    private static final Logger LOG = LoggerFactory.getLogger(PeerConnection.class);
    private static final String CALLER = "caller";
    private static final String CALLED = "called";

    private final PeerNetwork network;
    /** Whom this side has called; null on the side that was called, until that has learnt who calls. */
    private @Nullable String peer;

    private final boolean caller;
    private final byte[] ownNonce;
    private byte[] callerNonce = {};
    private byte[] calledNonce = {};
    private boolean proven;
    private long framesSent;
    private long framesReceived;
    private long nextId;
    private final Map<Long, Waiting> waiting = new HashMap<>();
    private @Nullable Channel channel;
    private String broken = "the connection was closed";

    /** Completed once both sides have proven that they know the secret; with a {@link PeerException} where they cannot. */
    final CompletableFuture<PeerConnection> ready = new CompletableFuture<>();

    private record Waiting(CompletableFuture<byte[]> answer, long askedAfterFrame) {}

    PeerConnection(PeerNetwork network, @Nullable String called) {
        this.network = network;
        this.peer = called;
        this.caller = called != null;
        this.ownNonce = network.nonce();
    }

    @Override
    public void channelActive(ChannelHandlerContext context) {
        channel = context.channel();
        if (caller) {
            callerNonce = ownNonce;
            introduce(new Hello(network.self(), ownNonce));
        }
        context.executor()
                .schedule(
                        () -> {
                            if (!proven) {
                                fail("the introduction took too long");
                            }
                        },
                        PeerNetwork.CONNECT_LIMIT.toMillis(),
                        TimeUnit.MILLISECONDS);
    }

    // --- asking; on the event loop

    void ask(String subject, byte[] question, long limitNanos, CompletableFuture<byte[]> answer) {
        Channel open = channel;
        if (open == null || !open.isActive()) {
            answer.completeExceptionally(new PeerException(PeerException.Code.LOST, who() + ": " + broken));
            return;
        }
        if (waiting.size() >= QUESTIONS_MAX || !open.isWritable()) {
            answer.completeExceptionally(new PeerException(
                    PeerException.Code.UNREACHABLE,
                    who() + " does not take any more questions: " + waiting.size() + " wait for an answer"));
            return;
        }
        long id = ++nextId;
        waiting.put(id, new Waiting(answer, framesReceived));
        send(new Question(id, subject, question));
        open.eventLoop().schedule(() -> timedOut(id, limitNanos), limitNanos, TimeUnit.NANOSECONDS);
    }

    private void timedOut(long id, long limitNanos) {
        Waiting late = waiting.remove(id);
        if (late == null) {
            return;
        }
        late.answer()
                .completeExceptionally(new PeerException(
                        PeerException.Code.TIMED_OUT,
                        who() + " has not answered within " + TimeUnit.NANOSECONDS.toMillis(limitNanos) + " ms"));
        if (late.askedAfterFrame() == framesReceived) {
            // Nothing at all has come since: the way there may be gone without a word, so the next question takes a new
            // one.
            fail("nothing was heard for the time of a question");
        }
    }

    // --- receiving

    @Override
    protected void channelRead0(ChannelHandlerContext context, ByteBuf in) {
        byte[] bytes = new byte[in.readableBytes()];
        in.readBytes(bytes);
        try {
            receive(Frame.parse(proven ? checked(bytes) : bytes));
        } catch (Malformed e) {
            fail(String.valueOf(e.getMessage()));
        }
    }

    private void receive(Frame frame) throws Malformed {
        switch (frame) {
            case Hello hello when !caller && peer == null -> called(hello);
            case Welcome welcome when caller && !proven -> welcomed(welcome);
            case Proof proof when !caller && peer != null && !proven -> proven(proof);
            case Question question when !caller && proven -> answer(question);
            case Answer(long id, byte[] body)
            when caller && proven -> {
                Waiting asked = waiting.remove(id);
                if (asked != null) {
                    asked.answer().complete(body);
                }
            }
            case Failure(long id, String why)
            when caller && proven -> {
                Waiting asked = waiting.remove(id);
                if (asked != null) {
                    asked.answer()
                            .completeExceptionally(new PeerException(PeerException.Code.FAILED, who() + ": " + why));
                }
            }
            case Hello _, Welcome _, Proof _, Question _, Answer _, Failure _ ->
                throw new Malformed("a " + frame.getClass().getSimpleName() + " at the wrong time");
        }
    }

    private void called(Hello hello) {
        peer = hello.name();
        callerNonce = hello.nonce();
        calledNonce = ownNonce;
        introduce(new Welcome(network.self(), ownNonce, network.secret().mac(CALLED, introduction())));
    }

    private void welcomed(Welcome welcome) throws Malformed {
        calledNonce = welcome.nonce();
        if (!welcome.name().equals(peer)) {
            throw new Malformed("node " + welcome.name() + " answers where " + peer + " was called");
        }
        if (!network.secret().isMac(welcome.code(), CALLED, introduction())) {
            throw new Malformed("it does not know the secret of this ledger's nodes");
        }
        introduce(new Proof(network.secret().mac(CALLER, introduction())));
        proven = true;
        ready.complete(this);
    }

    private void proven(Proof proof) throws Malformed {
        if (!network.secret().isMac(proof.code(), CALLER, introduction())) {
            throw new Malformed("it does not know the secret of this ledger's nodes");
        }
        proven = true;
        ready.complete(this);
    }

    /** What both sides have said of themselves. */
    private byte[][] introduction() {
        byte[] own = network.self().getBytes(UTF_8);
        byte[] other = String.valueOf(peer).getBytes(UTF_8);
        return new byte[][] {caller ? own : other, caller ? other : own, callerNonce, calledNonce};
    }

    private void answer(Question question) {
        String asker = String.valueOf(peer);
        network.handle(asker, question.subject(), question.body()).whenComplete((body, failure) -> {
            Frame frame = failure == null
                    ? new Answer(question.id(), body)
                    : new Failure(
                            question.id(),
                            String.valueOf(PeerNetwork.cause(failure).getMessage()));
            onLoop(() -> send(frame));
        });
    }

    private void onLoop(Runnable task) {
        Channel open = channel;
        if (open == null) {
            return;
        }
        if (open.eventLoop().inEventLoop()) {
            task.run();
        } else {
            open.eventLoop().execute(task);
        }
    }

    // --- frames

    private void introduce(Frame frame) {
        write(Frame.bytes(frame), new byte[0]);
    }

    private void send(Frame frame) {
        byte[] bytes = Frame.bytes(frame);
        byte[] code = network.secret().mac(caller ? CALLER : CALLED, stamp(framesSent), bytes);
        framesSent++;
        write(bytes, code);
    }

    private void write(byte[] bytes, byte[] code) {
        Channel open = channel;
        if (open == null || !open.isActive()) {
            return;
        }
        if (bytes.length + code.length > Frame.BYTES_MAX) {
            fail("a frame of " + bytes.length + " bytes, more than " + Frame.BYTES_MAX);
            return;
        }
        open.writeAndFlush(Unpooled.wrappedBuffer(
                ByteBuffer.allocate(Integer.BYTES)
                        .putInt(bytes.length + code.length)
                        .array(),
                bytes,
                code));
    }

    private byte[] checked(byte[] bytes) throws Malformed {
        int length = bytes.length - PeerSecret.MAC_BYTES;
        if (length < 0) {
            throw new Malformed("a frame of " + bytes.length + " bytes has no code");
        }
        byte[] frame = Arrays.copyOf(bytes, length);
        byte[] code = Arrays.copyOfRange(bytes, length, bytes.length);
        if (!network.secret().isMac(code, caller ? CALLED : CALLER, stamp(framesReceived), frame)) {
            throw new Malformed("a frame that is not from there, or not the next one");
        }
        framesReceived++;
        return frame;
    }

    /** Ties a frame to its place on this one connection. */
    private byte[] stamp(long number) {
        return ByteBuffer.allocate(callerNonce.length + calledNonce.length + Long.BYTES)
                .put(callerNonce)
                .put(calledNonce)
                .putLong(number)
                .array();
    }

    // --- the end

    private void fail(String why) {
        broken = why;
        LOG.debug("connection {} {}: {}", caller ? "to" : "from", who(), why);
        Channel open = channel;
        if (open != null) {
            open.close();
        }
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
        fail(String.valueOf(cause.getMessage()));
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) {
        ready.completeExceptionally(
                new PeerException(PeerException.Code.UNREACHABLE, who() + " cannot be asked: " + broken));
        PeerException lost = new PeerException(PeerException.Code.LOST, who() + ": " + broken);
        waiting.values().forEach(one -> one.answer().completeExceptionally(lost));
        waiting.clear();
        network.closed(this);
    }

    private String who() {
        return peer == null ? "a caller" : "node " + peer;
    }
}
