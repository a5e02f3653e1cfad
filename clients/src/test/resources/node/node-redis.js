'use strict';
// node-redis, of the version that the package is of: one connection that all work shares, others for who waits, subscribes or
// watches; in RESP3 one with its client-side cache.

module.exports = async (redis, { host, port, protocol, disconnected }) => {
  const clients = [];
  const connect = async (more = {}) => {
    const client = redis.createClient({ socket: { host, port, reconnectStrategy: false }, RESP: protocol, ...more });
    clients.push(client);
    client.on('error', (error) => disconnected(`error of a connection: ${error.message}`));
    client.on('end', () => disconnected('a connection was closed'));
    client.on('reconnecting', () => disconnected('a connection was made again'));
    await client.connect();
    return client;
  };
  const shared = await connect();

  return {
    increment: (key) => shared.incr(key),
    publish: (channel, message) => shared.publish(channel, message),
    async subscribe(channel, heard) {
      await (await connect()).subscribe(channel, (message) => heard(message));
    },
    async subscribeToPattern(pattern, heard) {
      await (await connect()).pSubscribe(pattern, (message) => heard(message));
    },
    push: (queue, element) => shared.rPush(queue, element),
    async taker() {
      const client = await connect();
      return async (queue) => (await client.blPop(queue, 0)).element;
    },
    incrementTogether: (one, other) => shared.multi().incr(one).incr(other).exec(),
    async watcher() {
      const client = await connect();
      return async (key, meanwhile) => {
        await client.watch(key);
        const next = Number(await client.get(key)) + 1;
        await meanwhile();
        try {
          await client.multi().set(key, String(next)).exec();
          return true;
        } catch (error) {
          if (error instanceof redis.WatchError) return false;
          throw error;
        }
      };
    },
    async cache() {
      if (protocol !== 3) return null;
      const kept = new redis.BasicClientSideCache({ ttl: 0, maxEntries: 0, evictPolicy: 'LRU', recordStats: true });
      const reader = await connect({ clientSideCache: kept });
      return {
        write: (key, value) => shared.set(key, value),
        read: (key) => reader.get(key),
        readFromServer: (key) => shared.get(key),
        hits: () => kept.stats().hitCount,
      };
    },
    close: () => clients.forEach((client) => client.destroy()),
  };
};
