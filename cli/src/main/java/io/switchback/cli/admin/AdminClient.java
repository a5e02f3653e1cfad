package io.switchback.cli.admin;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.switchback.fleet.Endpoint;
import io.switchback.server.NodeException;
import io.switchback.server.NodeFile;
import io.switchback.server.NodeFile.AdminSettings;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.SocketTimeoutException;
import java.net.URI;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.Consumer;

/** Talks to a node's admin API, found through the node's own file. For one thread. */
public final class AdminClient {
    private static final int TIMEOUT_MS = 10_000;
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Endpoint address;
    private final String token;

    /** Nobody answered. */
    public static final class Unreachable extends RuntimeException {
        private static final long serialVersionUID = 1;

        Unreachable(String message, Throwable cause) {
            super(message, cause);
        }
    }

    /** The node said no, and why. */
    public static final class Refused extends RuntimeException {
        private static final long serialVersionUID = 1;
        private final int status;

        public Refused(int status, String message) {
            super(message);
            this.status = status;
        }

        public int status() {
            return status;
        }
    }

    public AdminClient(Endpoint address, String token) {
        this.address = address;
        this.token = token;
    }

    /** The client for the node of that file. */
    public static AdminClient of(Path nodeFile) {
        AdminSettings admin = NodeFile.read(nodeFile)
                .admin()
                .orElseThrow(() -> new NodeException(nodeFile
                        + " has no admin section; add  admin: { listen: 127.0.0.1:7070, token: file:admin.token }"));
        return new AdminClient(
                new Endpoint(admin.listen().host(), admin.listen().port()),
                admin.token().reveal());
    }

    public JsonNode read(String path) {
        return call("GET", path, new byte[0], note -> {});
    }

    public JsonNode post(String path, byte[] body) {
        return post(path, body, note -> {});
    }

    /** {@code note} is given what the node has to say beside its answer. */
    public JsonNode post(String path, byte[] body, Consumer<String> note) {
        return call("POST", path, body, note);
    }

    private JsonNode call(String method, String path, byte[] body, Consumer<String> note) {
        try {
            HttpURLConnection connection = (HttpURLConnection)
                    URI.create("http://" + address + path).toURL().openConnection();
            connection.setConnectTimeout(TIMEOUT_MS);
            connection.setReadTimeout(TIMEOUT_MS);
            connection.setRequestMethod(method);
            connection.setRequestProperty("Authorization", "Bearer " + token);
            connection.setRequestProperty("X-Switchback-Who", System.getProperty("user.name", "unknown"));
            if (method.equals("POST")) {
                connection.setDoOutput(true);
                connection.setFixedLengthStreamingMode(body.length);
                connection.getOutputStream().write(body);
            }
            int status = connection.getResponseCode();
            try (InputStream in = status < 400 ? connection.getInputStream() : connection.getErrorStream()) {
                JsonNode answer = JSON.readTree(in == null ? new byte[0] : in.readAllBytes());
                if (status >= 400) {
                    throw new Refused(status, answer.path("error").asText("the node answered " + status));
                }
                Optional.ofNullable(connection.getHeaderField("X-Switchback-Note"))
                        .ifPresent(note);
                return answer;
            }
        } catch (SocketTimeoutException e) {
            throw new Unreachable(
                    "the node on " + address + " does not answer in time (" + e.getMessage()
                            + "); where it is there, its ledger may not be: switchback node list tells",
                    e);
        } catch (IOException e) {
            throw new Unreachable(
                    "no node answers on " + address + " (" + e.getMessage()
                            + "); is it running (switchback serve FILE), and is --node its file?",
                    e);
        }
    }

    public static byte[] bytes(String text) {
        return text.getBytes(UTF_8);
    }
}
