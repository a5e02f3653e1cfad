package io.switchback.sync.apply;

import io.switchback.sync.BackupManifest;
import io.switchback.sync.LinkBase;
import io.switchback.sync.LinkBreak;
import io.switchback.sync.LinkListener;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/** Keeps what a link says. */
class Heard implements LinkListener {
    final AtomicInteger copies = new AtomicInteger();
    volatile @Nullable LinkBase base;
    volatile @Nullable String broken;
    volatile @Nullable LinkBreak brokenAs;
    volatile @Nullable BackupManifest backup;

    @Override
    public void based(LinkBase found) {
        copies.incrementAndGet();
        base = found;
    }

    @Override
    public void sourceIdChanged(String id) {}

    @Override
    public void copied(BackupManifest manifest) {
        backup = manifest;
    }

    @Override
    public void broken(LinkBreak kind, String why) {
        brokenAs = kind;
        broken = why;
    }
}
