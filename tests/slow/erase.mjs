#!/usr/bin/env node
// test-timeout: 1800
// Half of all payloads of a ledger, chosen at random, are erased while an agent
// goes on writing. ERASE_COUNT payloads of 256 bytes. Every proof still
// verifies, the digests that the record states still come out, the space comes
// back, and no other answer changes.
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { Agent, broker, endAll } from '../support/pipe.mjs';

const COUNT = Number(process.env.ERASE_COUNT ?? 1000000);
const BYTES = 256, VERSIONS = 10, KEYS = COUNT / VERSIONS, PAIRS = 32;
const LARGE = COUNT >= 100000;
const SAMPLES = LARGE ? 20000 : COUNT;
const PROBE_MS = LARGE ? 10000 : 300;
const tmp = process.env.CHOIR_TMP;
const env = { ...process.env, CHOIR_DATA: `${tmp}/data`, CHOIR_CONFIG: `${tmp}/config` };
const run = promisify(execFile);
const choir = async (...args) => (await run('choir', args, { env, maxBuffer: 1 << 28 })).stdout;
const conf = `${tmp}/erase.conf`;
let passed = 0, failed = 0;
const check = (what, holds) => { if (holds) passed++; else { failed++; console.log(`FAILED: ${what}`); } };

writeFileSync(conf, LARGE ? 'segment_bytes = 8MiB\nbundle_bytes_max = 1MiB\nvalue_bytes_max = 256KiB\n'
  : 'segment_bytes = 64KiB\nbundle_bytes_max = 16KiB\nvalue_bytes_max = 8KiB\n');
const start = () => broker(env, '--config', conf);
async function stop(child) {
  child.kill('SIGTERM');
  await once(child, 'exit');
}

// A sequence that is the same in every run.
let seed = 1;
function random(n) {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return Math.floor((seed / 2 ** 32) * n);
}
const key = (i) => `k${i % KEYS}`;
const value = (i) => `${i} `.padEnd(BYTES, String.fromCharCode(97 + (i % 26)));

// What is said one after the other, with so much in flight.
async function all(n, depth, say) {
  let next = 0;
  await Promise.all(Array.from({ length: depth }, async () => { while (next < n) await say(next++); }));
}

function allocated() {
  let blocks = 0;
  for (const f of readdirSync(env.CHOIR_DATA)) blocks += statSync(`${env.CHOIR_DATA}/${f}`).blocks;
  return blocks * 512;
}

// An agent that puts at its own pace, in a thread of its own: p99 in ms.
async function probe(name, ended) {
  const worker = new Worker(new URL('../support/erase_probe.mjs', import.meta.url), { workerData: { name, env } });
  const over = once(worker, 'message');
  await ended();
  worker.postMessage('end');
  const [times] = await over;
  times.sort((a, b) => a - b);
  check(`${name}: it went on writing`, times.length > 0);
  return { puts: times.length, p99: times[Math.floor(times.length * 0.99)] };
}
const sleep = (ms) => new Promise((go) => setTimeout(go, ms));

let child = await start();
const ada = new Agent('ada', env);
const revisions = new Array(COUNT);
let began = Date.now();
await all(COUNT, 4096, async (i) => { revisions[i] = (await ada.say('put', { key: key(i), value: value(i) })).revision; });
check('all are written', revisions.every((r) => r > 0));
console.log(`${COUNT} payloads written in ${(Date.now() - began) / 1000} s`);

// Half of them.
const order = revisions.map((_, i) => i);
for (let i = COUNT - 1; i > 0; i--) {
  const k = random(i + 1);
  [order[i], order[k]] = [order[k], order[i]];
}
const gone = new Set(order.slice(0, COUNT / 2));
const sample = order.filter((_, i) => i % Math.ceil(COUNT / SAMPLES) === 0);
const read = async (i) => {
  const { id, seen, ...answer } = await ada.say('get', { key: key(i), revision: revisions[i] });
  return answer;
};
const before = new Map();
await all(sample.length, 256, async (n) => before.set(sample[n], await read(sample[n])));
mkdirSync(`${tmp}/receipts`);
for (const i of sample.slice(0, 10)) writeFileSync(`${tmp}/receipts/${i}`, await choir('receipt', String(revisions[i])));
const listed = await choir('--json', 'ls', 'k1');
const quiet = await probe('quiet', () => sleep(PROBE_MS));
ada.end();
await stop(child); // states the digest once more
child = await start();
const was = allocated();

// Erased by the broker's admin, so many with each operation.
const admin = new Agent('admin', env, ['--identity', `${env.CHOIR_DATA}/admin.identity`]);
const wanted = [...gone];
let reclaimed = 0;
began = Date.now();
const busy = await probe('busy', async () => {
  await all(Math.ceil(wanted.length / PAIRS), 1, async (n) => {
    const items = wanted.slice(n * PAIRS, (n + 1) * PAIRS).map((i) => ({ key: key(i), revision: revisions[i] }));
    const answer = await admin.say('erase', { items, reason: 'half of them' });
    if (answer.outcome !== 'OK') check(`erase ${n}: ${JSON.stringify(answer)}`, false);
  });
  const said = (Date.now() - began) / 1000;
  for (let last = -1; last !== reclaimed || reclaimed === 0;) {
    await sleep(LARGE ? 5000 : 1000);
    [last, reclaimed] = [reclaimed, JSON.parse(await choir('--json', 'status')).reclaimed_bytes];
  }
  console.log(`${wanted.length} payloads erased: said in ${said} s, off the disk in ${(Date.now() - began) / 1000} s`);
});
console.log(`puts meanwhile: ${busy.puts}, p99 ${busy.p99.toFixed(2)} ms; before: ${quiet.puts}, p99 ${quiet.p99.toFixed(2)} ms`);
if (LARGE) check('p99 of puts is at most doubled', busy.p99 <= 2 * quiet.p99);

const bob = new Agent('ada', env);
let same = 0, erased = 0;
await all(sample.length, 256, async (n) => {
  const i = sample[n], was = before.get(i);
  const { id, seen, ...is } = await bob.say('get', { key: key(i), revision: revisions[i] });
  if (gone.has(i)) {
    erased += is.outcome === 'ERASED' && is.revision === was.revision && is.agent === was.agent && is.time === was.time && is.value === undefined;
  } else {
    delete was.created; delete is.created;
    same += JSON.stringify(is) === JSON.stringify(was);
  }
});
const asked = sample.filter((i) => gone.has(i)).length;
check(`who asks for what was erased is told: ${erased} of ${asked}`, erased === asked);
check(`no other answer changes: ${same} of ${sample.length - asked}`, same === sample.length - asked);
check('a list is as it was', listed === await choir('--json', 'ls', 'k1'));
bob.end();
admin.end();
await stop(child);

const is = allocated(), bytes = wanted.length * BYTES;
console.log(`allocated: ${was} bytes before, ${is} after: ${((was - is) / bytes * 100).toFixed(1)} % of ${bytes} erased`);
// A few are less than what is allocated ahead.
check('at least 80 % of what was erased is given back', (LARGE ? was - is : reclaimed) >= 0.8 * bytes);
for (const f of readdirSync(`${tmp}/receipts`)) {
  const ok = await choir('verify', `${tmp}/receipts/${f}`, '--key', `${env.CHOIR_DATA}/broker.identity`).then(() => true, () => false);
  check(`receipt ${f} verifies`, ok);
}
for (const [what, cmd, args] of [['choir', 'choir', ['verify', env.CHOIR_DATA]], ['choird', 'choird', ['--data', env.CHOIR_DATA, '--verify']],
  ...(LARGE ? [] : [['the second reader', 'node', ['tests/reader/verify.mjs', env.CHOIR_DATA]]])]) {
  const said = await run(cmd, args, { env, maxBuffer: 1 << 28 }).catch((e) => e);
  check(`${what} verifies the record: ${said.stdout}${said.stderr}`, said.code === undefined);
  if (!said.code) console.log(`${what}: ${said.stdout.trim().split('\n').pop()}`);
}
// From the record alone, without the snapshot: a digest that did not come out
// as it was stated would stop it.
rmSync(`${env.CHOIR_DATA}/state.snapshot`);
child = await start();
await stop(child);
endAll();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
