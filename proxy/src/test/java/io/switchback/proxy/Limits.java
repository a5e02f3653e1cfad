package io.switchback.proxy;

import java.time.Duration;

/** The default limits with one or another changed, so that a test can reach it. */
final class Limits {
    private int clientsMax = ProxyLimits.DEFAULT.clientsMax();
    private int bulkBytesMax = ProxyLimits.DEFAULT.bulkBytesMax();
    private long receivingBytesPerLoopMax = ProxyLimits.DEFAULT.receivingBytesPerLoopMax();
    private int outputBytesPerClientPause = ProxyLimits.DEFAULT.outputBytesPerClientPause();
    private long outputBytesPerClientMax = ProxyLimits.DEFAULT.outputBytesPerClientMax();
    private int commandsInFlightPerClientMax = ProxyLimits.DEFAULT.commandsInFlightPerClientMax();
    private long bytesOutstandingPerBackendMax = ProxyLimits.DEFAULT.bytesOutstandingPerBackendMax();
    private long unansweredBytesPerLoopMax = ProxyLimits.DEFAULT.unansweredBytesPerLoopMax();
    private int blockingBytesMax = ProxyLimits.DEFAULT.blockingBytesMax();
    private long performedBytesPerLoopMax = ProxyLimits.DEFAULT.performedBytesPerLoopMax();
    private int trackingBytesMax = ProxyLimits.DEFAULT.trackingBytesMax();
    private int transactionBytesMax = ProxyLimits.DEFAULT.transactionBytesMax();
    private int transactionCommandsMax = ProxyLimits.DEFAULT.transactionCommandsMax();
    private long queuedBytesPerLoopMax = ProxyLimits.DEFAULT.queuedBytesPerLoopMax();
    private int largeCommandsPerLoopMax = ProxyLimits.DEFAULT.largeCommandsPerLoopMax();
    private int backendConnectionsPerLoopMax = ProxyLimits.DEFAULT.backendConnectionsPerLoopMax();
    private int ownConnectionsPerLoopMax = ProxyLimits.DEFAULT.ownConnectionsPerLoopMax();
    private long scriptBytesMax = ProxyLimits.DEFAULT.scriptBytesMax();
    private int subscriptionBytesMax = ProxyLimits.DEFAULT.subscriptionBytesMax();
    private int idleConnectionsPerLoopMax = ProxyLimits.DEFAULT.idleConnectionsPerLoopMax();
    private int filteredReplyBytesMax = ProxyLimits.DEFAULT.filteredReplyBytesMax();
    private Duration connectTimeout = ProxyLimits.DEFAULT.connectTimeout();
    private int connectAttemptsMax = ProxyLimits.DEFAULT.connectAttemptsMax();
    private Duration failoverWait = ProxyLimits.DEFAULT.failoverWait();

    Limits clientsMax(int value) {
        clientsMax = value;
        return this;
    }

    Limits bulkBytesMax(int value) {
        bulkBytesMax = value;
        return this;
    }

    Limits receivingBytesPerLoopMax(long value) {
        receivingBytesPerLoopMax = value;
        return this;
    }

    Limits outputBytesPerClient(int pause, long max) {
        outputBytesPerClientPause = pause;
        outputBytesPerClientMax = max;
        return this;
    }

    Limits commandsInFlightPerClientMax(int value) {
        commandsInFlightPerClientMax = value;
        return this;
    }

    Limits bytesOutstandingPerBackendMax(long value) {
        bytesOutstandingPerBackendMax = value;
        return this;
    }

    Limits unansweredBytesPerLoopMax(long value) {
        unansweredBytesPerLoopMax = value;
        return this;
    }

    Limits blockingBytesMax(int value) {
        blockingBytesMax = value;
        return this;
    }

    Limits performedBytesPerLoopMax(long value) {
        performedBytesPerLoopMax = value;
        return this;
    }

    Limits trackingBytesMax(int value) {
        trackingBytesMax = value;
        return this;
    }

    Limits transaction(int bytesMax, int commandsMax) {
        transactionBytesMax = bytesMax;
        transactionCommandsMax = commandsMax;
        return this;
    }

    Limits queuedBytesPerLoopMax(long value) {
        queuedBytesPerLoopMax = value;
        return this;
    }

    Limits largeCommandsPerLoopMax(int value) {
        largeCommandsPerLoopMax = value;
        return this;
    }

    Limits backendConnectionsPerLoopMax(int value) {
        backendConnectionsPerLoopMax = value;
        return this;
    }

    Limits ownConnectionsPerLoopMax(int value) {
        ownConnectionsPerLoopMax = value;
        return this;
    }

    Limits scriptBytesMax(long value) {
        scriptBytesMax = value;
        return this;
    }

    Limits subscriptionBytesMax(int value) {
        subscriptionBytesMax = value;
        return this;
    }

    Limits idleConnectionsPerLoopMax(int value) {
        idleConnectionsPerLoopMax = value;
        return this;
    }

    Limits filteredReplyBytesMax(int value) {
        filteredReplyBytesMax = value;
        return this;
    }

    Limits connectTimeout(Duration value) {
        connectTimeout = value;
        return this;
    }

    Limits connectAttemptsMax(int value) {
        connectAttemptsMax = value;
        return this;
    }

    Limits failoverWait(Duration value) {
        failoverWait = value;
        return this;
    }

    ProxyLimits build() {
        return new ProxyLimits(
                clientsMax,
                bulkBytesMax,
                receivingBytesPerLoopMax,
                outputBytesPerClientPause,
                outputBytesPerClientMax,
                commandsInFlightPerClientMax,
                bytesOutstandingPerBackendMax,
                unansweredBytesPerLoopMax,
                blockingBytesMax,
                performedBytesPerLoopMax,
                transactionBytesMax,
                transactionCommandsMax,
                queuedBytesPerLoopMax,
                largeCommandsPerLoopMax,
                subscriptionBytesMax,
                trackingBytesMax,
                scriptBytesMax,
                backendConnectionsPerLoopMax,
                ownConnectionsPerLoopMax,
                idleConnectionsPerLoopMax,
                filteredReplyBytesMax,
                connectTimeout,
                connectAttemptsMax,
                ProxyLimits.DEFAULT.attemptsPerReadMax(),
                failoverWait);
    }
}
