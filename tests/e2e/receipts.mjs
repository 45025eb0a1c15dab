#!/usr/bin/env node
// A receipt is worth what others make of it: those of a real broker, of many
// entries and tree sizes, go to `choir verify`, to Go's sumdb/tlog (written by
// nobody of Choir) and to the second reader; so do damaged ones.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync, rmSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { part } from '../reader/schema.mjs';
import { tagged, climb, ledgerLeaf, ledgerNode, note } from '../reader/trust.mjs';
import { u32, u64 } from '../reader/bytes.mjs';

const tmp = process.env.CHOIR_TMP;
const env = { ...process.env, CHOIR_DATA: `${tmp}/data`, CHOIR_CONFIG: `${tmp}/config`, GO111MODULE: 'off',
  GOPATH: '/usr/share/gocode', GOCACHE: `${tmp}/go`, GOFLAGS: '' };
let passed = 0, failed = 0;
const check = (what, holds) => { if (holds) passed++; else { failed++; console.log(`FAILED: ${what}`); } };
const choir = (...args) => execFileSync('choir', args, { env, encoding: 'utf8', maxBuffer: 1 << 26 });
const code = (...args) => spawnSync('choir', args, { env, encoding: 'utf8' });

async function start() {
  const broker = spawn('choird', ['--data', env.CHOIR_DATA, '--listen', 'tcp://127.0.0.1:*'], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  for await (const line of createInterface({ input: broker.stderr }))
    if (line.includes('event=ready')) break;
  return broker;
}
async function stop(broker, signal = 'SIGTERM') {
  broker.kill(signal);
  if (broker.exitCode === null && broker.signalCode === null) await once(broker, 'exit');
}

// Requests over `choir pipe`, all at once.
function pipe(requests) {
  const input = requests.map((r) => JSON.stringify(r) + '\n').join('');
  const out = spawnSync('choir', ['pipe'], { env, input, encoding: 'utf8', maxBuffer: 1 << 28 });
  return out.stdout.trim().split('\n').map((l) => JSON.parse(l));
}

let broker = await start();
const puts = (n, at) => pipe(Array.from({ length: n }, (_, i) => ({ op: 'put', key: `k/${at + i}`, value: `value ${at + i}` })));
const revisions = puts(700, 0).filter((a) => a.revision).map((a) => a.revision);
check('all puts have a revision', revisions.length === 700);
const mine = [revisions[0], revisions[1], revisions[254], revisions[400], revisions[699]];
const files = [];
const take = (revision, name) => {
  writeFileSync(`${tmp}/${name}`, choir('receipt', String(revision)));
  files.push({ revision, path: `${tmp}/${name}` });
};
for (const r of mine) take(r, `a-${r}.tlog-proof`);
puts(300, 700);
for (const r of mine) take(r, `b-${r}.tlog-proof`);
take(0, 'genesis.tlog-proof');

// growth, between any two sizes
const head = JSON.parse(choir('--json', 'status'));
const sizes = [1, 2, 3, 255, 256, 257, 512, 700, head.durable];
const pairs = sizes.flatMap((a) => sizes.filter((b) => b >= a).map((b) => [a, b]));
const proofs = pipe(pairs.map(([prev, size]) => ({ op: 'consistency', prev, size })));
check('every growth is proven', proofs.length === pairs.length && proofs.every((p) => p.outcome === 'OK'));

// a restart in between, clean and not; and the tree's files may be lost
await stop(broker, 'SIGKILL');
broker = await start();
for (const r of mine) take(r, `c-${r}.tlog-proof`);
await stop(broker);
for (const level of [0, 8, 16]) rmSync(`${env.CHOIR_DATA}/tree-${level}`, { force: true });
broker = await start();
const again = () => code('receipt', String(mine[2]));
let late = again();
for (let i = 0; i < 200 && late.status !== 0 && late.stderr.startsWith('BUSY'); i++) late = again();
check('proofs come again when the files were lost', late.status === 0);

// damaged files are noticed, and no wrong proof leaves the house
await stop(broker);
const leaves = readFileSync(`${env.CHOIR_DATA}/tree-0`);
leaves[32 * 300 + 5] ^= 1;
writeFileSync(`${env.CHOIR_DATA}/tree-0`, leaves);
broker = await start();
late = code('receipt', String(revisions[301]));
for (let i = 0; i < 200 && late.status !== 0 && late.stderr.startsWith('BUSY'); i++) late = code('receipt', String(revisions[301]));
check('a damaged tree is made anew', late.status === 0);
writeFileSync(`${tmp}/d.tlog-proof`, late.stdout);
files.push({ revision: revisions[301], path: `${tmp}/d.tlog-proof` });

// refusals
check('an entry that is not there yet', code('receipt', '99999999').stderr.startsWith('FUTURE'));
check('a receipt is nothing without a key', code('verify', files[0].path).status === 2);
const stranger = choir('invite', '--role', 'worker').trim();
const other = { ...env, CHOIR_CONFIG: `${tmp}/other` };
execFileSync('choir', ['--as', 'other', 'join', stranger], { env: other });
choir('--space', '*', 'grant', 'other', 'none');
const hidden = spawnSync('choir', ['--as', 'other', 'receipt', String(mine[0])], { env: other, encoding: 'utf8' });
check('what one may not see has no receipt', hidden.stderr.startsWith('NOT_FOUND'));

const identity = readFileSync(`${env.CHOIR_DATA}/admin.identity`, 'utf8').split('\n').find((l) => l.startsWith('choir-identity'));
const pinned = part('identity', Buffer.from(identity.split(':')[1], 'base64url'));
const key = Buffer.from(pinned.broker_key), ledger = Buffer.from(pinned.ledger);
await stop(broker);

// --- offline from here on ---

// The leaf's data as docs/ledger-format.md lists it, by the second reader.
function leafOf(evidence) {
  const header = part('bundle_header', evidence.header);
  const statement = tagged('entry/1', tagged('bundle/1', evidence.header), u32(Number(evidence.position)), tagged('op/1', evidence.head));
  return Buffer.concat([u64(evidence.revision), u64(evidence.time), header.agent, u64(header.session),
    u64(BigInt(header.first_seq) + BigInt(evidence.position)), statement, u32(Number(evidence.outcome)), tagged('effect/1', evidence.effect)]);
}
function read(path) {
  const [top, signed] = readFileSync(path, 'utf8').split('\n\n').reduce((a, s, i) => i ? [a[0], a[1] ? `${a[1]}\n\n${s}` : s] : [s, ''], ['', '']);
  const lines = top.split('\n');
  const evidence = part('evidence', Buffer.from(lines[1].slice(6), 'base64'));
  return { evidence, index: Number(lines[2].slice(6)), path: lines.slice(3).map((l) => Buffer.from(l, 'base64')), signed };
}

const id = Buffer.concat([Buffer.from(`choir.ledger/${ledger.toString('hex')}\n`), Buffer.from([1]), key]);
const vkey = `choir.ledger/${ledger.toString('hex')}+${createHash('sha256').update(id).digest().subarray(0, 4).toString('hex')}+`
  + Buffer.concat([Buffer.from([1]), key]).toString('base64');
const lines = [`vkey ${vkey}`], wanted = ['yes'];
const hex = (b) => Buffer.from(b).toString('hex');
for (const f of files) {
  check(`choir verify accepts ${f.path}`, code('verify', f.path, '--key', hex(key)).status === 0);
  const r = read(f.path), data = leafOf(r.evidence);
  const tree = note(Buffer.from(r.signed), key);
  check(`the second reader accepts ${f.path}`, r.index === f.revision && Number(r.evidence.revision) === f.revision
    && climb(ledgerNode, ledgerLeaf(data), r.index, Number(tree.size), r.path).equals(tree.root));
  lines.push(`receipt ${f.path} ${hex(data)}`); wanted.push('yes');
  data[20] ^= 1;
  lines.push(`receipt ${f.path} ${hex(data)}`); wanted.push('no');
}
const rootAt = new Map(proofs.map((p) => [p.size, p.root]));
proofs.forEach((p, i) => {
  const [a, b] = pairs[i], path = Buffer.from(p.path_base64 ?? '', 'base64');
  const hashes = Array.from({ length: path.length / 32 }, (_, k) => hex(path.subarray(32 * k, 32 * k + 32)));
  lines.push(['growth', a, rootAt.get(a), b, rootAt.get(b), ...hashes].join(' ')); wanted.push('yes');
  const other = createHash('sha256').update('other').digest('hex');
  lines.push(['growth', a, other, b, rootAt.get(b), ...hashes].join(' ')); wanted.push('no');
});

// every byte of a receipt counts, to each of the three
const original = readFileSync(files[2].path);
for (let i = 0; i < original.length; i += 7) {
  const damaged = Buffer.from(original);
  damaged[i] ^= 1 << (i % 7);
  const path = `${tmp}/damaged`;
  writeFileSync(path, damaged);
  if (i % 3 === 0) check(`choir verify refuses byte ${i} flipped`, code('verify', path, '--key', hex(key)).status !== 0);
}
check('another key is refused', code('verify', files[0].path, '--key', '11'.repeat(32)).status === 4);

const go = spawnSync('go', ['run', 'tests/other/tlog.go'], { env, input: lines.join('\n') + '\n', encoding: 'utf8', maxBuffer: 1 << 26 });
const said = go.stdout.trim().split('\n');
check(`Go answers every line ${go.stderr}`, said.length === wanted.length);
said.forEach((s, i) => check(`Go: ${s} to ${lines[i].slice(0, 60)}`, s.split(' ')[0] === wanted[i]));

console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
