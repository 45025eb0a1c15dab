// Checks a file that `choir export` wrote, from docs/export-format.md alone:
//
//   node tests/reader/export.mjs FILE... [--key HEX] [--agents FILE]
//
// --key pins the broker's key; without it the file is consistent, but whose it
// is is not known. --agents pins who may have exported it and who may have said
// what was selected. Prints what it checked; names the first failure and exits 1.
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { brokerSays, genesis, nameOfJoining, read, sessionOf } from './authors.mjs';
import { Cursor, Refusal, fromHex, malformed } from './bytes.mjs';
import { agentOf, firstOfBundle, learn, speaks } from './keys.mjs';
import { bundleOf, leafOf, thinSection } from './record.mjs';
import { part, slotRows } from './schema.mjs';
import { Tree, checkSignature, climb, node, note, tagged } from './trust.mjs';

const RECORD_BYTES = 64 << 20;
const HEAD = 1, GAP = 2, ENTRY = 3, IDENTITY = 4, END = 5;
const HASH = 32;
const LEFT_OUT = 3; // the highest mark
const RANGE = 3;
const asked = [null, ['space', 'key'], ['task'], ['revision', 'size'], ['space'], ['holder'], []];
const identities = ['genesis', 'admit', 'enrol', 'session_open', 'rotate', 'recover', 'revoke', 'suspect'];
const hex = (b) => b.toString('hex');

// Which are the largest subtrees between a and b: how many leaves each has.
function tiles(a, b) {
  const out = [];
  while (a < b) {
    let leaves = 1;
    while (a % (2 * leaves) === 0 && a + 2 * leaves <= b) leaves *= 2;
    out.push(leaves);
    a += leaves;
  }
  return out;
}

function hashes(bytes) {
  if (bytes.length % HASH) malformed('a hash is cut off');
  return Array.from({ length: bytes.length / HASH }, (_, i) => bytes.subarray(i * HASH, (i + 1) * HASH));
}

class Export {
  partial = true; // of a ledger
  id = null;
  agents = new Map();
  sessions = new Map();
  tree = new Tree();
  gap = null; // hashes that wait for where they end
  counts = { entries: 0, identities: 0, signatures: 0, payloads: 0, missing: 0, hashes: 0 };

  constructor(pinned, trusted) {
    this.pinned = pinned;
    this.trusted = trusted;
  }

  head(bytes) {
    const h = part('export_head', bytes);
    if (h.format !== 1) throw new Refusal('UNSUPPORTED', `format ${h.format}`);
    const facts = asked[h.kind];
    if (!facts) malformed(`selection of kind ${h.kind}`);
    const said = Object.values(asked).flatMap((f) => f ?? []).filter((f) => h[f] !== undefined);
    if ([...new Set(said)].sort().join() !== [...facts].sort().join()) malformed('not the facts of its selection');
    if (h.kind === RANGE && h.revision >= h.size) malformed('an empty range');
    this.is = h;
    this.id = h.ledger;
  }

  // Once the genesis says whose key it must be.
  treeHead() {
    this.signed = note(this.is.text, this.brokerKey);
    this.counts.signatures++;
    if (!this.signed.ledger.equals(this.id)) malformed("another ledger's tree head");
    if (this.is.kind === RANGE && this.is.size > this.signed.size) malformed('a range beyond the tree head');
  }

  // Up to that index there are entries no more, but the hashes of the gap.
  reach(index) {
    const due = tiles(this.tree.size, index);
    const told = this.gap ?? [];
    if (due.length !== told.length || (this.gap && !due.length)) malformed(`${told.length} hashes where ${due.length} are due`);
    const { kind, revision, size } = this.is;
    if (due.length && kind === RANGE && this.tree.size < size && index > revision) malformed('entries of the range are missing');
    due.forEach((leaves, i) => this.tree.add(told[i], leaves));
    this.counts.hashes += due.length;
    this.gap = null;
  }

  // Who must have signed it.
  author(e) {
    const { bundle: b } = e;
    const first = firstOfBundle(e);
    if (!this.broker || b.agent.equals(this.broker)) {
      read(e, ['broker', 'operation']);
      if (!this.broker) genesis(this, e);
      if (!b.agent.equals(this.broker) || b.session !== 0) malformed('not the broker');
      if (!brokerSays(e.message)) malformed(`the broker says ${e.message.message}`);
      return this.brokerKey;
    }
    read(e, ['operation']);
    if (b.session) return sessionOf(this, b, first).key;
    if (!['enrol', 'session_open', 'recover'].includes(e.message.message)) malformed(`${e.message.message} in session 0`);
    return nameOfJoining(this, b, first);
  }

  payloads(e, { payload, marks }) {
    const rows = [slotRows(e.head), e.effect.length ? slotRows(e.effect) : []];
    const slots = rows[0].length + rows[1].length;
    if (marks && (marks.length !== slots || marks.every((m) => m === 0))) malformed('marks for other slots');
    const there = marks ? marks.filter((m) => m === 0).length : slots;
    if ((payload !== undefined) !== (there > 0)) malformed(there ? 'its payload is missing' : 'a payload of no slot');
    const c = new Cursor(payload ?? Buffer.alloc(0));
    const m = marks ? new Cursor(marks) : null;
    for (const r of rows) thinSection(c, r, m, LEFT_OUT);
    c.end('the last payload');
    this.counts.payloads += there;
    this.counts.missing += slots - there;
  }

  entry(kind, bytes) {
    const v = part('evidence', bytes);
    const index = v.revision;
    this.index = index;
    if (index < this.tree.size) malformed('indices do not ascend');
    if (v.public_key) malformed('a key beside the entry');
    const bundle = bundleOf(v.header, v.signature);
    if (bundle.format !== 1 || bundle.kind !== 1) malformed('not a bundle of kind RECORD, format 1');
    if (!bundle.ledger.equals(this.id)) malformed('meant for another ledger');
    if (v.position > index) malformed('its bundle begins before the ledger');
    const e = { index, bundle, position: v.position, time: v.time, outcome: v.outcome, head: v.head, effect: v.effect };
    Object.assign(e, { session: bundle.session, seq: bundle.first_seq + v.position, hash: tagged('op/1', v.head) });
    if (!climb(node, e.hash, v.position, bundle.count, hashes(v.path)).equals(bundle.root)) malformed("not under its bundle's root");
    if (!this.broker && index !== 0) malformed('the first entry is not the genesis');
    const key = this.author(e);
    checkSignature('bundle', key, this.id, bundle.header, bundle.signature);
    this.counts.signatures++;
    learn(this, e, key);
    if (kind === IDENTITY && (e.outcome !== 0 || !identities.includes(e.message.message))) malformed(`${e.message.message} as identity`);
    this.payloads(e, v);
    if (index === 0) this.treeHead();
    if (index >= this.signed.size) malformed('beyond the tree head');
    this.reach(index);
    this.tree.add(leafOf(e));
    if (kind === ENTRY && this.trusted && !bundle.agent.equals(this.broker) && !this.trusted.has(hex(bundle.agent))) {
      malformed(`said by ${hex(bundle.agent)}, who is not trusted`);
    }
    this.counts[kind === ENTRY ? 'entries' : 'identities']++;
  }

  end(before, records, bytes) {
    if (!this.signed) malformed('there is no genesis');
    this.reach(this.signed.size);
    if (!this.tree.root().equals(this.signed.root)) malformed("its entries and gaps do not make the tree head's root");
    const f = part('export_end', bytes);
    if (f.size !== before.length || f.count !== records) malformed('other bytes or records than it says');
    if (!f.digest.equals(tagged('export/1', before))) malformed('another digest');
    checkSignature('export', this.is.public_key, this.id, f.digest, f.signature);
    this.counts.signatures++;
    const by = agentOf(this, this.is.agent);
    if (!by || !speaks(by, this.is.public_key, Infinity)) malformed("exported with a key that is not proven to be its exporter's");
    if (this.trusted && !this.trusted.has(hex(this.is.agent))) malformed(`exported by ${hex(this.is.agent)}, who is not trusted`);
  }
}

// Runs that for record `number`, and says where it fails.
function at(x, c, number, run) {
  const offset = c.at;
  x.index = null;
  try {
    return run(offset);
  } catch (error) {
    const which = x.index === null ? '' : `, entry ${x.index}`;
    error.record = number;
    error.message = `record ${number} at ${offset}${which}: ${error.message}`;
    throw error;
  }
}

// One record; whether it was the end.
function record(x, c, number) {
  return at(x, c, number, (offset) => {
    const kind = c.u32();
    const n = c.u32();
    if (n > RECORD_BYTES) malformed('a record too long');
    const bytes = c.take(n);
    if ((kind === HEAD) !== (number === 0)) malformed('a head in another place than the first');
    if (x.gap && (kind === GAP || kind === HEAD)) malformed('two gaps in a row');
    if (kind === HEAD) x.head(bytes);
    else if (kind === GAP && !n) malformed('a gap of nothing');
    else if (kind === GAP) x.gap = hashes(bytes);
    else if (kind === ENTRY || kind === IDENTITY) x.entry(kind, bytes);
    else if (kind === END) x.end(c.bytes.subarray(0, offset), number, bytes);
    else malformed(`a record of kind ${kind}`);
    return kind === END;
  });
}

// bytes: the whole file. pinned: the broker's key, or null. trusted: a set of
// agents' ids in hex, or null. What it shows, or a Refusal with its `record`.
export function checkExport(bytes, pinned = null, trusted = null) {
  const c = new Cursor(bytes);
  const x = new Export(pinned, trusted);
  at(x, c, 0, () => c.take(4).equals(Buffer.from('CHE1')) || malformed('no export'));
  let number = 0;
  while (!record(x, c, number)) number++;
  at(x, c, number + 1, () => c.end('the end'));
  return x;
}

export function trustedAgents(text) {
  const lines = text.split('\n').map((l) => l.trim()).filter((l) => l && !l.startsWith('#'));
  return new Set(lines.map((l) => /^([0-9a-f]{64})(?:\s|$)/i.exec(l)?.[1].toLowerCase() ?? malformed(`no agent: ${l}`)));
}

function show(file, key, trusted) {
  try {
    const x = checkExport(readFileSync(file), key === undefined ? null : fromHex(key), trusted);
    const c = x.counts;
    console.log(
      `${c.entries} entries, ${c.identities} for identity, ${c.signatures} signatures, ` +
        `${c.payloads} payloads, ${c.missing} left out, ${c.hashes} hashes of what is not here`,
    );
    console.log(`tree head ${hex(x.signed.root)} of ${x.signed.size}`);
    console.log(`exported by ${hex(x.is.agent)}`);
    console.log(key ? 'broker key: as pinned' : `unknown key ${hex(x.brokerKey)}: none is pinned`);
    return 0;
  } catch (error) {
    console.log(`FAILED ${error.message}`);
    return 1;
  }
}

function main(args) {
  const option = (name) => (args.indexOf(name) >= 0 ? args.splice(args.indexOf(name), 2)[1] : undefined);
  const key = option('--key');
  const agents = option('--agents');
  if (!args.length) {
    console.error('usage: export.mjs FILE... [--key HEX] [--agents FILE]');
    return 2;
  }
  let trusted = null;
  try {
    if (agents !== undefined) trusted = trustedAgents(readFileSync(agents, 'utf8'));
  } catch (error) {
    console.error(`${agents}: ${error.message}`);
    return 2;
  }
  return Math.max(...args.map((file) => show(file, key, trusted)));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) process.exitCode = main(process.argv.slice(2));
