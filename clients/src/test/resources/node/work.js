'use strict';
// Every kind of work that a library is tested with, all at once, until a line comes on stdin.
//
//   node work.js FOLDER PACKAGE ADAPTER PORT PROTOCOL NAME MODE
//
// FOLDER holds node_modules. MODE says as what the library takes the node: one_server, sentinels, cluster. One JSON object a line goes to stdout: {"turns": {...}} while it works, as often as something has got
// on, and in the end {"findings": {...}}, the Java record Findings. It ends by itself when stdin does.

const path = require('node:path');
const readline = require('node:readline');
const { setTimeout: pause } = require('node:timers/promises');

const [folder, packageName, adapter, port, protocol, name, mode] = process.argv.slice(2);
const PACE_MS = 2;
const COUNTERS = 2;
const CONSUMERS = 2;
const CONTENDERS = 2;
const CACHED_KEYS = 4;
const SEEN_LIMIT_MS = 60_000;
const REPORT_EVERY_MS = 50;
const SHOWN_MAX = 20;
const END = 'end';

const say = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);
const key = (of) => `${name}:${of}`;

let stopping = false;
let closing = false;
const turns = {};
const work = [];
const findings = {
  clients: name, acknowledged: {}, published: 0, heard: [], heardByPattern: [], pushed: 0, taken: [], together: 0, halves: [],
  won: 0, lost: 0, wronglyWon: [], cachedReads: 0, stale: [], lastCached: {}, stored: {}, locked: 0, failures: [], disconnections: [],
};

const note = (list, text) => { if (list.length < SHOWN_MAX) list.push(text); };

/** Runs it again and again until everything stops, or it fails. */
function worker(of, turn) {
  turns[of] = 0;
  work.push((async () => {
    try {
      while (!stopping) {
        await turn();
        turns[of]++;
        await pause(PACE_MS);
      }
    } catch (error) {
      note(findings.failures, `${of}: ${error.stack}`);
    }
  })());
}

function noOlder(cached, seen) {
  const known = findings.lastCached[cached];
  if (known !== undefined && (seen === null || Number(seen) < Number(known))) {
    note(findings.stale, `${cached}: ${seen} after ${known}`);
  }
}

async function writeAndRead(cache) {
  for (let i = 0; i < CACHED_KEYS; i++) {
    const cached = key(`cached-${i}`);
    const next = Number(findings.lastCached[cached] ?? 0) + 1;
    await cache.write(cached, String(next));
    const giveUpAt = Date.now() + SEEN_LIMIT_MS;
    let seen;
    while ((seen = await cache.read(cached)) !== String(next)) {
      noOlder(cached, seen);
      if (Date.now() > giveUpAt) throw new Error(`the cached reader sees ${seen} in ${cached}, where ${next} was written`);
      await pause(PACE_MS);
    }
    findings.lastCached[cached] = String(next);
  }
  for (const cached of Object.keys(findings.lastCached)) noOlder(cached, await cache.read(cached));
}

// Does not go on before another one's increment was acknowledged that began after it had read: it must be refused. Each of the
// others may have had one under way before that.
async function incrementTooLate(increment) {
  let enough;
  const acknowledged = await increment(key('watched'), async () => {
    enough = findings.won + CONTENDERS + 1;
    while (!stopping && findings.won < enough) await pause(PACE_MS);
  });
  if (acknowledged && findings.won++ >= enough) note(findings.wronglyWon, `beside number ${enough}`);
}

async function main() {
  const disconnected = (text) => { if (!closing) note(findings.disconnections, text); };
  const library = await require(path.join(__dirname, `${adapter}.js`))(
    require(path.join(folder, 'node_modules', packageName)),
    { host: '127.0.0.1', port: Number(port), protocol: Number(protocol), mode, disconnected });

  await library.subscribe(key('news'), (message) => findings.heard.push(Number(message)));
  await library.subscribeToPattern(key('n*'), (message) => findings.heardByPattern.push(Number(message)));
  const consumers = [];
  for (let i = 0; i < CONSUMERS; i++) {
    const take = await library.taker();
    consumers.push((async () => {
      for (let element = await take(key('queue')); element !== END; element = await take(key('queue'))) {
        findings.taken.push(Number(element));
      }
    })().catch((error) => note(findings.failures, `consumer: ${error.stack}`)));
  }
  for (let i = 0; i < COUNTERS; i++) {
    const counter = key(`counter-${i}`);
    findings.acknowledged[counter] = 0;
    worker(`counter ${i}`, async () => {
      const now = await library.increment(counter);
      if (now !== ++findings.acknowledged[counter]) throw new Error(`${counter} is ${now} at increment ${findings.acknowledged[counter]}`);
    });
  }
  worker('publisher', async () => { await library.publish(key('news'), String(findings.published)); findings.published++; });
  worker('producer', async () => { await library.push(key('queue'), String(findings.pushed)); findings.pushed++; });
  for (let i = 0; i < CONTENDERS; i++) {
    worker(`transaction ${i}`, async () => {
      const [left, right] = await library.incrementTogether(key('{pair}left'), key('{pair}right'));
      findings.together++;
      if (left !== right) note(findings.halves, `${left} and ${right}`);
    });
    const increment = await library.watcher();
    worker(`watch ${i}`, async () => { if (await increment(key('watched'), () => {})) findings.won++; else findings.lost++; });
  }
  const incrementLate = await library.watcher();
  worker('late watch', () => incrementTooLate(incrementLate));
  const cache = await library.cache();
  if (cache) worker('cache', () => writeAndRead(cache));

  const reports = setInterval(() => say({ turns, failures: findings.failures }), REPORT_EVERY_MS);
  const input = readline.createInterface({ input: process.stdin });
  await new Promise((stop) => { input.once('line', stop); input.once('close', stop); });
  stopping = true;
  await Promise.all(work);
  clearInterval(reports);
  for (let i = 0; i < CONSUMERS; i++) await library.push(key('queue'), END);
  await Promise.all(consumers);
  const giveUpAt = Date.now() + SEEN_LIMIT_MS;
  const last = findings.published - 1;
  while (!(findings.heard.includes(last) && findings.heardByPattern.includes(last)) && Date.now() < giveUpAt) await pause(PACE_MS);
  if (cache) {
    findings.cachedReads = cache.hits();
    for (const cached of Object.keys(findings.lastCached)) findings.stored[cached] = await cache.readFromServer(cached);
  }
  say({ findings });
  closing = true;
  await library.close();
  input.close();
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
