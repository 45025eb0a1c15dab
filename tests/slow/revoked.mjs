#!/usr/bin/env node
// test-timeout: 300
// A key is revoked while its agent writes as fast as it can: 100 times, half of
// them the whole agent, half one key of it. Nothing that the key signed stands
// in the record behind the entry that ended it.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const TRIALS = 100, AT_ONCE = 4;
const tmp = process.env.CHOIR_TMP;
const env = { ...process.env, CHOIR_DATA: `${tmp}/data`, CHOIR_CONFIG: `${tmp}/config` };
const run = promisify(execFile);
const choir = async (...args) => (await run('choir', args, { env, maxBuffer: 1 << 28 })).stdout;
let passed = 0, failed = 0;
const check = (what, holds) => { if (holds) passed++; else { failed++; console.log(`FAILED: ${what}`); } };

const broker = spawn('choird', ['--data', env.CHOIR_DATA, '--listen', 'tcp://127.0.0.1:*'], { env, stdio: ['ignore', 'ignore', 'pipe'] });
const log = createInterface({ input: broker.stderr });
for await (const line of log) if (line.includes('event=ready')) break;
broker.stderr.resume();

// Puts without end, hundreds under way, until the broker wants no more of them.
async function writer(name, started) {
  const pipe = spawn('choir', ['--as', name, 'pipe'], { env, stdio: ['pipe', 'pipe', 'ignore'] });
  let n = 0, answers = 0, over = false;
  pipe.stdin.on('error', () => { over = true; });
  pipe.on('exit', () => { over = true; });
  createInterface({ input: pipe.stdout }).on('line', () => { if (++answers === 50) started(); });
  while (!over) {
    while (n - answers > 512 && !over) await new Promise((go) => setTimeout(go, 1));
    let lines = '';
    for (let i = 0; i < 64; i++) lines += JSON.stringify({ op: 'put', key: `${name}/${n++ % 100}`, value: 'x' }) + '\n';
    if (!over) pipe.stdin.write(lines);
  }
}

const ended = []; // agent id, key or null, the entry that ended it
async function trial(i) {
  const name = `writer-${i}`;
  await choir('--as', name, 'get', 'none').catch(() => {});
  const agent = JSON.parse((await choir('--json', 'key', 'ls', name)).split('\n')[0]);
  let over;
  await new Promise((started) => { over = writer(name, started); });
  const args = i % 2 ? ['revoke', name] : ['revoke', name, '--key', agent.public_key];
  ended.push({ name, revision: Number(await choir(...args)) });
  await Promise.race([over, new Promise((_, no) => setTimeout(() => no(new Error(`${name} goes on`)), 20000))]);
}

for (let i = 0; i < TRIALS; i += AT_ONCE) {
  const results = await Promise.allSettled(Array.from({ length: AT_ONCE }, (_, k) => trial(i + k)));
  for (const r of results) check(`a trial ends: ${r.reason?.message ?? ''}`, r.status === 'fulfilled');
}

// The record, entry by entry.
const ids = new Map((await choir('--json', 'agents', '--all')).trim().split('\n').map((l) => JSON.parse(l)).map((a) => [a.agent, a.name]));
const size = JSON.parse(await choir('--json', 'status')).durable;
const tap = spawn('choir', ['--json', 'tap', '--since', '0', '--count', String(size)], { env, stdio: ['ignore', 'pipe', 'ignore'] });
const last = new Map();
for await (const line of createInterface({ input: tap.stdout })) {
  const e = JSON.parse(line);
  if (e.header) last.set(ids.get(e.header.agent), e.revision);
}
for (const { name, revision } of ended) {
  check(`${name}: something was written under load`, last.get(name) > 0);
  check(`${name}: nothing behind entry ${revision}, last is ${last.get(name)}`, last.get(name) < revision);
}
broker.kill('SIGTERM');
await once(broker, 'exit');
const verdict = await choir('verify', env.CHOIR_DATA).then(() => true, () => false);
check('the record verifies', verdict);
console.log(`${ended.length} keys revoked under load, ${size} entries in all`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
