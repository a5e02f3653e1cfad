'use strict';
// ioredis, of the version that the package is of: one connection that all work shares, others for who waits, subscribes or
// watches. It has no cache of its own; by RESP2, in front of one server, one is made here as
// the documentation of Redis describes.

module.exports = (Redis, { host, port, protocol, mode, disconnected }) => {
  const connections = [];
  const once = { protocol, maxRetriesPerRequest: 0, retryStrategy: null };
  const open = {
    one_server: () => new Redis({ host, port, ...once }),
    sentinels: () => new Redis({ sentinels: [{ host, port }], name: 'sessions', sentinelRetryStrategy: null, ...once }),
    cluster: () => new Redis.Cluster([{ host, port }], { clusterRetryStrategy: null, maxRedirections: 1, redisOptions: { protocol } }),
  }[mode];
  const connect = () => {
    const connection = open();
    connections.push(connection);
    connection.on('error', (error) => disconnected(`error of a connection: ${error.message}`));
    connection.on('close', () => disconnected('a connection was closed'));
    return connection;
  };
  const shared = connect();

  return {
    increment: (key) => shared.incr(key),
    publish: (channel, message) => shared.publish(channel, message),
    async subscribe(channel, heard) {
      const connection = connect();
      connection.on('message', (from, message) => heard(message));
      await connection.subscribe(channel);
    },
    async subscribeToPattern(pattern, heard) {
      const connection = connect();
      connection.on('pmessage', (matched, from, message) => heard(message));
      await connection.psubscribe(pattern);
    },
    push: (queue, element) => shared.rpush(queue, element),
    taker() {
      const connection = connect();
      return async (queue) => (await connection.blpop(queue, 0))[1];
    },
    async incrementTogether(one, other) {
      const replies = await shared.multi().incr(one).incr(other).exec();
      return replies.map(([error, reply]) => {
        if (error) throw error;
        return reply;
      });
    },
    watcher() {
      const connection = connect();
      return async (key, meanwhile) => {
        await connection.watch(key);
        const next = Number(await connection.get(key)) + 1;
        await meanwhile();
        return (await connection.multi().set(key, next).exec()) !== null;
      };
    },
    // As RESP2 has it: the server tracks what the reader reads, and tells the listener what to forget.
    async cache() {
      if (protocol !== 2 || mode !== 'one_server') return null;
      const reader = connect();
      const listener = connect();
      const id = await listener.client('ID');
      const kept = new Map();
      let hits = 0;
      listener.on('messageBuffer', (channel, keys) => {
        if (keys === null) kept.clear();
        else keys.forEach((key) => kept.delete(key.toString()));
      });
      await listener.subscribe('__redis__:invalidate');
      await reader.client('TRACKING', 'ON', 'REDIRECT', id);
      return {
        write: (key, value) => shared.set(key, value),
        async read(key) {
          if (typeof kept.get(key) === 'string') {
            hits++;
            return kept.get(key);
          }
          const asked = Symbol(key); // gone, where the key is forgotten before its value has come
          kept.set(key, asked);
          const value = await reader.get(key);
          if (kept.get(key) === asked) kept.set(key, value);
          return value;
        },
        readFromServer: (key) => shared.get(key),
        hits: () => hits,
      };
    },
    close: () => connections.forEach((connection) => connection.disconnect()),
  };
};
