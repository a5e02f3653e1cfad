package io.switchback.sync;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Instant;
import java.util.HexFormat;

/** Backups on disk: an .rdb file and, beside it, its manifest ({@code .json}). */
public final class Backup {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int CHUNK_BYTES = 1 << 20;

    private Backup() {}

    /**
     * Reads a backup again and compares it with its manifest and with the checksum within the file.
     *
     * @throws IOException if it cannot be read, or is not what the manifest says; the message says which
     */
    public static BackupManifest check(Path file) throws IOException {
        BackupManifest manifest = read(file);
        try (InputStream in = Files.newInputStream(file)) {
            RdbCheck check = new RdbCheck();
            MessageDigest digest = sha256();
            byte[] chunk = new byte[CHUNK_BYTES];
            for (int count = in.read(chunk); count >= 0; count = in.read(chunk)) {
                check.update(chunk, 0, count);
                digest.update(chunk, 0, count);
            }
            check.finish(file.toString());
            String found = HexFormat.of().formatHex(digest.digest());
            if (check.bytes() != manifest.bytes() || !found.equals(manifest.sha256())) {
                throw new IOException(file + " is not what its manifest says: " + check.bytes() + " bytes with SHA-256 "
                        + found + ", expected " + manifest.bytes() + " bytes with " + manifest.sha256());
            }
        }
        return manifest;
    }

    /** Reads the manifest of a backup without looking at the backup. */
    public static BackupManifest read(Path file) throws IOException {
        JsonNode json = JSON.readTree(manifestOf(file).toFile());
        return new BackupManifest(
                file,
                json.required("bytes").asLong(),
                json.required("sha256").asText(),
                json.required("serverVersion").asText(),
                json.required("replicationId").asText(),
                json.required("offset").asLong(),
                Instant.parse(json.required("takenAt").asText()));
    }

    /** Where the manifest of a backup is. */
    static Path manifestOf(Path file) {
        return file.resolveSibling(file.getFileName() + ".json");
    }

    /** Writes the manifest so that after a crash it is there whole or not at all. */
    static void write(BackupManifest manifest) throws IOException {
        ObjectNode json = JSON.createObjectNode();
        json.put("file", manifest.file().getFileName().toString());
        json.put("bytes", manifest.bytes());
        json.put("sha256", manifest.sha256());
        json.put("serverVersion", manifest.serverVersion());
        json.put("replicationId", manifest.replicationId());
        json.put("offset", manifest.offset());
        json.put("takenAt", manifest.takenAt().toString());
        Path target = manifestOf(manifest.file());
        Path part = target.resolveSibling(target.getFileName() + ".part");
        byte[] bytes = JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(json);
        try (FileChannel channel = FileChannel.open(
                part, StandardOpenOption.CREATE, StandardOpenOption.WRITE, StandardOpenOption.TRUNCATE_EXISTING)) {
            ByteBuffer buffer = ByteBuffer.wrap(bytes);
            while (buffer.hasRemaining()) {
                channel.write(buffer);
            }
            channel.force(true);
        }
        Files.move(part, target, StandardCopyOption.ATOMIC_MOVE);
        syncFolder(target);
    }

    /** Makes a rename in this file's folder outlive a crash. */
    static void syncFolder(Path file) throws IOException {
        Path folder = file.toAbsolutePath().getParent();
        if (folder != null) {
            try (FileChannel channel = FileChannel.open(folder, StandardOpenOption.READ)) {
                channel.force(true);
            }
        }
    }

    static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every Java has SHA-256", e);
        }
    }
}
