package io.switchback.sync.apply;

import io.switchback.fleet.FleetSpec;
import io.switchback.sync.LinkStart;

/**
 * What an apply link is to do.
 *
 * @param name   of the link, in messages, in the keys that it keeps at its target and in the names of its connections; the same after a restart
 * @param owner  who runs it: of two owners the later one shuts out the former
 * @param source one server, or one that sentinels watch; of a cluster, each shard has a link
 * @param target of any kind
 */
public record ApplySettings(String name, String owner, FleetSpec source, FleetSpec target, LinkStart start) {}
