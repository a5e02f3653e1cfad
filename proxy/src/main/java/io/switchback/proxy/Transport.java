package io.switchback.proxy;

import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.channel.Channel;
import io.netty.channel.ChannelOption;
import io.netty.channel.IoHandlerFactory;
import io.netty.channel.ServerChannel;
import io.netty.channel.epoll.Epoll;
import io.netty.channel.epoll.EpollDomainSocketChannel;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.epoll.EpollServerDomainSocketChannel;
import io.netty.channel.epoll.EpollServerSocketChannel;
import io.netty.channel.epoll.EpollSocketChannel;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioDomainSocketChannel;
import io.netty.channel.socket.nio.NioServerDomainSocketChannel;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.channel.unix.DomainSocketAddress;
import io.netty.channel.unix.UnixChannelOption;
import io.netty.channel.uring.IoUring;
import io.netty.channel.uring.IoUringDomainSocketChannel;
import io.netty.channel.uring.IoUringIoHandler;
import io.netty.channel.uring.IoUringServerDomainSocketChannel;
import io.netty.channel.uring.IoUringServerSocketChannel;
import io.netty.channel.uring.IoUringSocketChannel;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * How sockets are driven: epoll where there is one, else Java's own; or the one that is named by {@value #PROPERTY}.
 *
 * <p>io_uring is taken only where it is asked for. With Netty 4.2.18 on Linux 6.18 an event loop was seen to sleep on in
 * {@code io_uring_enter} while tasks and timers were due, about once in ten runs of 30 switches under load (a hold then
 * neither ends nor passes its limit). With epoll it was never seen.
 */
enum Transport {
    IO_URING,
    EPOLL,
    NIO;

    /** Of all channels: its slices are used again, so that a command which is passed on makes no garbage. Netty's default does not. */
    static final ByteBufAllocator ALLOCATOR = PooledByteBufAllocator.DEFAULT;

    /** io_uring, epoll or nio. */
    static final String PROPERTY = "switchback.transport";

    /** As Linux numbers the states of a connection (include/net/tcp_states.h). */
    private static final int TCP_ESTABLISHED = 1;

    static Transport choose() {
        String wanted = System.getProperty(PROPERTY, "").toLowerCase(Locale.ROOT);
        return switch (wanted) {
            case "io_uring" -> demand(IO_URING, IoUring.isAvailable(), IoUring.unavailabilityCause());
            case "epoll" -> demand(EPOLL, Epoll.isAvailable(), Epoll.unavailabilityCause());
            case "nio" -> NIO;
            case "" -> Epoll.isAvailable() ? EPOLL : NIO;
            default ->
                throw new IllegalArgumentException(
                        "-D" + PROPERTY + "=" + wanted + ": expected io_uring, epoll or nio");
        };
    }

    private static Transport demand(Transport transport, boolean available, @Nullable Throwable cause) {
        if (!available) {
            throw new IllegalStateException(
                    "-D" + PROPERTY + " asks for " + transport.label() + ", which this machine does not allow", cause);
        }
        return transport;
    }

    /** Why a connection failed, without the name of the system call, its number and the address that is named beside it anyway. */
    static String words(Throwable failure) {
        String message = failure.getMessage();
        if (message == null) {
            return "it failed with " + failure.getClass().getSimpleName();
        }
        return message.replaceFirst("^.*failed with error\\(-?[0-9]+\\): ", "").replaceFirst(": [^ :]*/[^ ]*$", "");
    }

    /** Whether the other side has ended a connection, all of which may not have been read yet; false where the system does not say. */
    static boolean isEnded(Channel channel) {
        if (!channel.isActive()) {
            return true;
        }
        int state = switch (channel) {
            case EpollSocketChannel epoll -> epoll.tcpInfo().state();
            case IoUringSocketChannel uring -> uring.tcpInfo().state();
            default -> TCP_ESTABLISHED;
        };
        return state != TCP_ESTABLISHED;
    }

    String label() {
        return name().toLowerCase(Locale.ROOT);
    }

    IoHandlerFactory handlers() {
        return switch (this) {
            case IO_URING -> IoUringIoHandler.newFactory();
            case EPOLL -> EpollIoHandler.newFactory();
            case NIO -> NioIoHandler.newFactory();
        };
    }

    Class<? extends ServerChannel> serverChannel() {
        return switch (this) {
            case IO_URING -> IoUringServerSocketChannel.class;
            case EPOLL -> EpollServerSocketChannel.class;
            case NIO -> NioServerSocketChannel.class;
        };
    }

    Class<? extends SocketChannel> clientChannel() {
        return switch (this) {
            case IO_URING -> IoUringSocketChannel.class;
            case EPOLL -> EpollSocketChannel.class;
            case NIO -> NioSocketChannel.class;
        };
    }

    Class<? extends ServerChannel> unixServerChannel() {
        return switch (this) {
            case IO_URING -> IoUringServerDomainSocketChannel.class;
            case EPOLL -> EpollServerDomainSocketChannel.class;
            case NIO -> NioServerDomainSocketChannel.class;
        };
    }

    Class<? extends Channel> unixClientChannel() {
        return switch (this) {
            case IO_URING -> IoUringDomainSocketChannel.class;
            case EPOLL -> EpollDomainSocketChannel.class;
            case NIO -> NioDomainSocketChannel.class;
        };
    }

    /** A Unix socket, as the channels of this transport name it. */
    SocketAddress unixAddress(String path) {
        return this == NIO ? UnixDomainSocketAddress.of(path) : new DomainSocketAddress(path);
    }

    /** Lets every loop accept for itself on the same address; null where one loop accepts for all. */
    @Nullable
    ChannelOption<Boolean> reusePort() {
        return this == NIO ? null : UnixChannelOption.SO_REUSEPORT;
    }
}
