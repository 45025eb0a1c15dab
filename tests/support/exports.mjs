// Exports taken apart, changed and put together again, and made of a ledger's
// own files: what the tests of both readers need, beside `choir export`, from
// which none of this is taken.
import { createHash, createPrivateKey, sign as signOnce } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Cursor, isZero, u32, u64 } from '../reader/bytes.mjs';
import { armour } from '../reader/frames.mjs';
import { GROUP_HEADER, SEGMENT_HEADER, bundleOf, groupBundles, groupHeader, leafOf, segmentHeader } from '../reader/record.mjs';
import { fields, message, part } from '../reader/schema.mjs';
import { agentId, ledgerNode, node, publicOf, root, tagged } from '../reader/trust.mjs';

export const HEAD = 1, GAP = 2, ENTRY = 3, IDENTITY = 4, END = 5;

// ---- encoding: the shortest forms ------------------------------------------

const bigEndian = (v, n) => {
  const b = Buffer.alloc(n);
  for (let i = n - 1, left = BigInt(v); i >= 0; i--, left >>= 8n) b[i] = Number(left & 255n);
  return b;
};
const lead = (byte, v, n) => Buffer.concat([Buffer.from([byte]), bigEndian(v, n)]);

// short: highest count in the lead byte, or -1; wide: lead bytes for 1, 2, 4.
function counted(base, short, wide, n) {
  if (n <= short) return Buffer.from([base + n]);
  if (wide[0] && n < 0x100) return lead(wide[0], n, 1);
  return n < 0x10000 ? lead(wide[1], n, 2) : lead(wide[2], n, 4);
}
const uint = (v) => (v < 0x80 ? Buffer.from([v]) : v < 0x100 ? lead(0xcc, v, 1) : v < 0x10000 ? lead(0xcd, v, 2)
  : v < 2 ** 32 ? lead(0xce, v, 4) : lead(0xcf, v, 8));
const text = (s) => Buffer.concat([counted(0xa0, 31, [0xd9, 0xda, 0xdb], Buffer.byteLength(s)), Buffer.from(s)]);
const bin = (b) => Buffer.concat([counted(0, -1, [0xc4, 0xc5, 0xc6], b.length), b]);
const mapOf = (pairs) => Buffer.concat([counted(0x80, 15, [0, 0xde, 0xdf], pairs.length), ...pairs.flat()]);

function item(kind, v) {
  if (kind === 'list') return Buffer.concat([counted(0x90, 15, [0, 0xdc, 0xdd], v.length), ...v.map(encode)]);
  if (kind === 'labels') {
    const names = Object.keys(v).map((n) => Buffer.from(n)).sort(Buffer.compare);
    return mapOf(names.map((n) => [text(n.toString()), text(v[n.toString()])]));
  }
  return kind === 'integer' ? uint(v) : kind === 'text' ? text(v) : bin(v);
}

// A part, or with `verb` a message, by its fields' names.
export function encode(values) {
  const rows = [...fields].filter(([, row]) => values[row.name] !== undefined).sort(([a], [b]) => a - b);
  return mapOf(rows.map(([number, row]) => [uint(number), item(row.kind, values[row.name])]));
}

// ---- keys --------------------------------------------------------------------

const secrets = new Map();

function secret(seed) {
  const name = seed.toString('hex');
  if (!secrets.has(name)) {
    const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
    secrets.set(name, createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }));
  }
  return secrets.get(name);
}

export function keyOf(seed) {
  const publicKey = publicOf(seed);
  return { seed, publicKey, agent: agentId(publicKey) };
}

// One of the identity files; its agent has another id than its key's if that is
// not its first.
export function identityAt(path) {
  const f = armour('identity', readFileSync(path, 'utf8')).fields;
  const key = keyOf(f.secret.subarray(0, 32));
  return { ...key, agent: f.agent ?? key.agent, name: f.name };
}

export function sign(purpose, key, ledger, body) {
  const p = Buffer.alloc(16);
  p.write(`choir ${purpose} 1`);
  return signOnce(null, Buffer.concat([p, ledger, u64(body.length), body]), secret(key.seed));
}

// A signed tree head, as the broker with that key makes it.
export function noteOf(key, { ledger, size, root: r, epoch }) {
  const name = `choir.ledger/${ledger.toString('hex')}`;
  const head = `${name}\n${size}\n${r.toString('base64')}\nepoch ${epoch}\n`;
  const id = createHash('sha256').update(`${name}\n\x01`).update(key.publicKey).digest().subarray(0, 4);
  const signature = signOnce(null, Buffer.from(head), secret(key.seed));
  return `${head}\n\u2014 ${name} ${Buffer.concat([id, signature]).toString('base64')}\n`;
}

// ---- files --------------------------------------------------------------------

export function takeApart(bytes) {
  const c = new Cursor(bytes);
  const out = [];
  c.take(4);
  while (c.left) {
    const at = c.at;
    const kind = c.u32();
    out.push({ at, kind, bytes: c.take(c.u32()) });
  }
  return out;
}

export const putTogether = (records) =>
  Buffer.concat([Buffer.from('CHE1'), ...records.flatMap(({ kind, bytes }) => [u32(kind), u32(bytes.length), bytes])]);

// How many entries there were when that file was made.
export const sizeOf = (bytes) => Number(part('export_head', takeApart(bytes)[0].bytes).text.split('\n')[1]);

// The records without their end, and the end that fits them.
export function ended(records, ledger, key) {
  const before = putTogether(records);
  const digest = tagged('export/1', before);
  const end = { size: before.length, count: records.length, digest, signature: sign('export', key, ledger, digest) };
  return putTogether([...records, { kind: END, bytes: encode(end) }]);
}

// ---- a ledger, and the export of some of it ------------------------------------

// Every entry of a stopped broker's directory. It is known to be whole.
export function readLedger(dir) {
  const entries = [];
  let id, epoch;
  for (const name of readdirSync(dir).filter((n) => /^segment-[0-9]{10}$/.test(n)).sort()) {
    const bytes = readFileSync(join(dir, name));
    if (isZero(bytes)) continue;
    const s = segmentHeader(bytes);
    id = s.ledger;
    let at = SEGMENT_HEADER;
    while (bytes.length - at >= GROUP_HEADER && !isZero(bytes.subarray(at, at + GROUP_HEADER))) {
      const g = groupHeader(bytes.subarray(at, at + GROUP_HEADER), s.nonce, at);
      const body = bytes.subarray(at + GROUP_HEADER, at + GROUP_HEADER + g.heads + g.stored);
      for (const b of groupBundles(g, body)) entries.push(...b.entries);
      epoch = g.epoch;
      at = Math.ceil((at + GROUP_HEADER + body.length) / 8) * 8;
    }
  }
  for (const e of entries) {
    try {
      e.says = message(e.head, ['operation', 'broker']);
    } catch {
      e.says = { message: 'unsupported', fields: {} };
    }
  }
  return { id, epoch, entries };
}

export const rootOf = (entries) => root(entries.map((e) => e.leaf), ledgerNode);

// The largest subtrees from a up to b, one after the other.
export function gapOf(entries, a, b) {
  const out = [];
  for (let n = 1; a < b; a += n, n = 1) {
    while (a % (2 * n) === 0 && a + 2 * n <= b) n *= 2;
    out.push(rootOf(entries.slice(a, a + n)));
  }
  return Buffer.concat(out);
}

// From a place up, the neighbours in the tree of its bundle.
function pathOf(hashes, at) {
  const out = [];
  for (let level = hashes; level.length > 1; at >>= 1) {
    if (level[at ^ 1]) out.push(level[at ^ 1]);
    level = level.flatMap((h, i) => (i % 2 ? [] : level[i + 1] ? [node(h, level[i + 1])] : [h]));
  }
  return Buffer.concat(out);
}

// leave: the mark of all payloads, 3, or 0 to keep them.
export function evidenceOf(e, leave = 0) {
  const slots = [...e.slots, ...e.effectSlots];
  const marks = Buffer.from(slots.map((s) => leave || s.missing || 0));
  const there = slots.filter((s, i) => marks[i] === 0);
  return {
    revision: e.index, outcome: e.outcome, time: e.time, header: e.bundle.header, signature: e.bundle.signature,
    path: pathOf(e.bundle.entries.map((x) => x.hash), e.position), position: e.position, head: e.head, effect: e.effect,
    payload: there.length ? Buffer.concat(there.flatMap((s) => [s.salt, s.value])) : undefined,
    marks: marks.some((m) => m) ? marks : undefined,
  };
}

// The entries that say whose keys those of `indices` and of `by` are.
export function identitiesOf(ledger, indices, by, size) {
  const all = ledger.entries.slice(0, size);
  const out = new Set([0]);
  const agents = new Set();
  const agent = (id) => {
    if (agents.has(id)) return;
    agents.add(id);
    for (const e of all) {
      const { message: verb, fields: f } = e.says;
      const whose = ['admit', 'revoke', 'suspect'].includes(verb) ? f.agent : e.bundle.agent;
      const tells = ['admit', 'enrol', 'rotate', 'recover', 'revoke', 'suspect'].includes(verb);
      if (e.outcome !== 0 || !tells || whose.toString('hex') !== id || out.has(e.index)) continue;
      out.add(e.index);
      sender(e);
    }
  };
  const sender = (e) => {
    agent(e.bundle.agent.toString('hex'));
    if (e.bundle.session) out.add(e.bundle.session);
  };
  for (const i of indices) sender(all[i]);
  agent(by.agent.toString('hex'));
  return out;
}

// facts: the head's, of the selection. by: who exports. text: a tree head of
// `size` entries. without: identities that are left out.
export function exportOf(ledger, { indices, facts, by, text: head, size, leave = 0, time = 1, without = [] }) {
  const chosen = new Set(indices);
  const identities = identitiesOf(ledger, indices, by, size);
  for (const i of without) identities.delete(i);
  const records = [{ kind: HEAD, bytes: encode({
    format: 1, ledger: ledger.id, agent: by.agent, public_key: by.publicKey, time, text: head, ...facts,
  }) }];
  let next = 0;
  const reach = (index) => {
    if (next < index) records.push({ kind: GAP, bytes: gapOf(ledger.entries, next, index) });
    next = index + 1;
  };
  for (const i of [...new Set([...chosen, ...identities])].sort((a, b) => a - b)) {
    reach(i);
    const e = ledger.entries[i];
    records.push({ kind: chosen.has(i) ? ENTRY : IDENTITY, bytes: encode(evidenceOf(e, leave)) });
  }
  reach(size);
  return ended(records, ledger.id, by);
}

// That entry as it would be if its author had said something else, alone in a
// bundle, or another had: `says` is the operation, `bundle` what changes in the
// header, `key` signs it, `rest` is the broker's part.
export function forge(ledger, e, { says, bundle = {}, key, ...rest }) {
  const head = says ? encode(says) : e.head;
  const hash = tagged('op/1', head);
  const header = encode({ ...part('bundle_header', e.bundle.header), count: 1, root: hash, ...bundle });
  const b = bundleOf(header, key ? sign('bundle', key, ledger.id, header) : e.bundle.signature);
  const out = { ...e, head, hash, position: 0, bundle: b, session: b.session, seq: b.first_seq, ...rest };
  if (says && !says.slots) Object.assign(out, { slots: [], effectSlots: [], effect: Buffer.alloc(0) });
  b.entries.push(out);
  return { ...out, leaf: leafOf(out) };
}
