// Forgeries of exports without end, each made from a number: whatever bytes can
// be changed, cut, exchanged or put into another order, by people who have no
// key at all, by a stranger, by other agents and by keys that have ended, by the
// exporter himself, and by the operator with the broker's key. Those made with
// the exporter's own key change only what is not his to state.
import { ended, encode, evidenceOf, exportOf, forge, gapOf, noteOf, putTogether, rootOf, sign, sizeOf, takeApart } from './exports.mjs';
import { END, ENTRY, GAP, HEAD, IDENTITY } from './exports.mjs';
import { part } from '../reader/schema.mjs';
import { tagged } from '../reader/trust.mjs';
import { u32 } from '../reader/bytes.mjs';

// splitmix32: the same everywhere.
class Chance {
  constructor(seed) { this.state = seed >>> 0; }
  next() {
    this.state = (this.state + 0x9e3779b9) >>> 0;
    let z = this.state;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (z ^ (z >>> 16)) >>> 0;
  }
  below(n) { return Math.floor((this.next() / 2 ** 32) * n); }
  of(list) { return list[this.below(list.length)]; }
  is(percent) { return this.below(100) < percent; }
  bytes(n) { return Buffer.from(Array.from({ length: n }, () => this.below(256))); }
}

const names = { [HEAD]: 'export_head', [ENTRY]: 'evidence', [IDENTITY]: 'evidence' };
const isEntry = (r) => r.kind === ENTRY || r.kind === IDENTITY;
const replaced = (list, i, r) => list.map((x, k) => (k === i ? r : x));
const swapped = (list, i, k) => list.map((x, n) => (n === i ? list[k] : n === k ? list[i] : x));
const flipped = (c, bytes, at = c.below(bytes.length)) => {
  const out = Buffer.from(bytes);
  out[at] ^= 1 + c.below(255);
  return out;
};

// A file's records without the end, each with its fields.
function open(bytes) {
  const all = takeApart(bytes);
  return {
    all,
    size: sizeOf(bytes),
    records: all.slice(0, -1).map((r) => ({ ...r, fields: names[r.kind] ? part(names[r.kind], r.bytes) : null })),
  };
}
const withFields = (r, change) => {
  const fields = { ...r.fields, ...change };
  return { kind: r.kind, fields, bytes: encode(fields) };
};

// ---- who signs a changed file ------------------------------------------------

// As it was signed before: what one can do who has no key.
function unsigned(ctx, base, records) {
  return putTogether([...records, base.all.at(-1)]);
}

// The end is made anew, by one who is not the exporter: under his own name, or
// with the exporter's head. His old key is of no use as long as the entry is there
// that ended it; that it was left out nobody can see (docs/export-format.md).
function bySomebody(ctx, c, records) {
  const { ledger, by, first, stranger, mallory, eve, broker, rotated } = ctx;
  const keys = [stranger, mallory, eve, broker, { ...stranger, agent: by.agent }, { ...mallory, agent: by.agent }];
  if (records.some((r) => r.fields?.revision === rotated)) keys.push({ ...first, agent: by.agent });
  const key = c.of(keys);
  const head = records[0]?.fields?.format && c.is(80) ? withFields(records[0], { agent: key.agent, public_key: key.publicKey }) : records[0];
  return ended(head ? [head, ...records.slice(1)] : records, ledger.id, key);
}

const byExporter = (ctx, records) => ended(records, ctx.ledger.id, ctx.by);

// What changes nothing that the exporter may state: by anyone. Everything else:
// by anyone but him.
const byAnyone = (ctx, c, base, records) =>
  c.is(30) ? unsigned(ctx, base, records) : c.is(50) ? byExporter(ctx, records) : bySomebody(ctx, c, records);
const byOthers = (ctx, c, base, records) => (c.is(40) ? unsigned(ctx, base, records) : bySomebody(ctx, c, records));

// ---- what is changed ----------------------------------------------------------

function flip(ctx, c, base) {
  return flipped(c, base.bytes);
}

function cut(ctx, c, base) {
  const at = c.is(50) ? c.of(base.all).at : c.below(base.bytes.length);
  return c.is(70) ? base.bytes.subarray(0, at) : Buffer.concat([base.bytes.subarray(0, at), base.bytes.subarray(at + 1 + c.below(80))]);
}

function grow(ctx, c, base) {
  const more = c.bytes(1 + c.below(40));
  const at = c.is(50) ? base.bytes.length : c.below(base.bytes.length);
  return Buffer.concat([base.bytes.subarray(0, at), more, base.bytes.subarray(at)]);
}

// A record longer or shorter, and its length with it.
function stretch(ctx, c, base) {
  const i = c.below(base.records.length);
  const { kind, bytes } = base.records[i];
  const at = c.below(bytes.length + 1);
  const changed = c.is(50)
    ? Buffer.concat([bytes.subarray(0, at), c.bytes(1 + c.below(4)), bytes.subarray(at)])
    : Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + c.below(4))]);
  return byOthers(ctx, c, base, replaced(base.records, i, { kind, bytes: changed }));
}

function swapBytes(ctx, c, base) {
  const n = c.of([1, 4, 8, 32, 64]);
  const [a, b] = [c.below(base.bytes.length - n), c.below(base.bytes.length - n)];
  if (Math.abs(a - b) < n) return null;
  const out = Buffer.from(base.bytes);
  base.bytes.copy(out, a, b, b + n);
  base.bytes.copy(out, b, a, a + n);
  return out;
}

// A field of two entries that is of one length in both.
function swapFields(ctx, c, base) {
  const entries = base.records.map((r, i) => i).filter((i) => isEntry(base.records[i]));
  const [i, k] = [c.of(entries), c.of(entries)];
  const [a, b] = [base.records[i], base.records[k]];
  const name = c.of(['signature', 'signature', 'header', 'head', 'payload', 'effect', 'path', 'time', 'revision', 'outcome', 'position']);
  const same = a.fields[name]?.length === b.fields[name]?.length;
  if (i === k || !same || a.fields[name] === undefined || b.fields[name] === undefined) return null;
  const records = replaced(base.records, i, withFields(a, { [name]: b.fields[name] }));
  return byAnyone(ctx, c, base, replaced(records, k, withFields(b, { [name]: a.fields[name] })));
}

function swapHashes(ctx, c, base) {
  const places = base.records.flatMap((r, i) => (r.kind === GAP ? Array.from({ length: r.bytes.length / 32 }, (_, n) => [i, n * 32]) : []));
  const [[i, a], [k, b]] = [c.of(places), c.of(places)];
  const records = base.records.map((r) => (r.kind === GAP ? { ...r, bytes: Buffer.from(r.bytes) } : r));
  base.records[k].bytes.copy(records[i].bytes, a, b, b + 32);
  base.records[i].bytes.copy(records[k].bytes, b, a, a + 32);
  return byAnyone(ctx, c, base, records);
}

function reorder(ctx, c, base) {
  const n = base.records.length;
  let records = base.records;
  for (let times = 1 + c.below(3); times; times--) records = swapped(records, c.below(n), c.below(n));
  if (c.is(20)) records = [...base.records].sort(() => c.below(3) - 1);
  return byAnyone(ctx, c, base, records);
}

function repeat(ctx, c, base) {
  const i = c.below(base.records.length);
  const at = c.below(base.records.length + 1);
  return byAnyone(ctx, c, base, [...base.records.slice(0, at), base.records[i], ...base.records.slice(at)]);
}

function remove(ctx, c, base) {
  const i = c.below(base.records.length);
  return byAnyone(ctx, c, base, base.records.filter((_, k) => k !== i));
}

// A record of another export, in the place of one of this.
function splice(ctx, c, base) {
  const other = c.of(ctx.bases);
  const r = c.of(other.all);
  const i = c.below(base.records.length);
  const mine = base.records[i];
  const records = replaced(base.records, i, r);
  const same = isEntry(r) && isEntry(mine) ? part('evidence', r.bytes).revision === mine.fields.revision : r.kind === mine.kind;
  return same ? byOthers(ctx, c, base, records) : byAnyone(ctx, c, base, records);
}

// The gaps of those entries, as they are in the ledger: nothing shows but that.
function relaid(ctx, base, entries) {
  const out = [base.records[0]];
  let next = 0;
  const reach = (index) => {
    if (next < index) out.push({ kind: GAP, bytes: gapOf(ctx.ledger.entries, next, index) });
    next = index + 1;
  };
  for (const r of entries) {
    reach(r.fields.revision);
    out.push(r);
  }
  reach(base.size);
  return out;
}

// What must be there, left out with a gap that fits.
function leaveOut(ctx, c, base) {
  const entries = base.records.filter(isEntry);
  const needed = entries.filter((r) => base.needed.has(r.fields.revision));
  if (c.is(50) && needed.length) {
    const gone = c.of(needed);
    return byAnyone(ctx, c, base, relaid(ctx, base, entries.filter((r) => r !== gone)));
  }
  const gone = c.of(entries);
  return byOthers(ctx, c, base, relaid(ctx, base, entries.filter((r) => r !== gone)));
}

// Another entry of the ledger put in, with gaps that fit: not by the exporter.
function putIn(ctx, c, base) {
  const entries = base.records.filter(isEntry);
  const e = c.of(ctx.ledger.entries.slice(0, base.size));
  if (entries.some((r) => r.fields.revision === e.index)) return null;
  const fields = evidenceOf(e);
  const all = [...entries, { kind: ENTRY, fields, bytes: encode(fields) }].sort((a, b) => a.fields.revision - b.fields.revision);
  return byOthers(ctx, c, base, relaid(ctx, base, all));
}

function edit(ctx, c, base) {
  const entries = base.records.map((r, i) => i).filter((i) => isEntry(base.records[i]));
  const i = c.of(entries);
  const r = base.records[i];
  const f = r.fields;
  const name = c.of(['signature', 'header', 'head', 'effect', 'path', 'payload', 'time', 'revision', 'outcome', 'position', 'public_key', 'kind']);
  if (name === 'kind') {
    if (r.kind !== ENTRY || base.mayBeIdentity.has(f.revision)) return null;
    return byAnyone(ctx, c, base, replaced(base.records, i, { ...r, kind: IDENTITY }));
  }
  if (name === 'public_key') return byAnyone(ctx, c, base, replaced(base.records, i, withFields(r, { public_key: c.of([ctx.by, ctx.mallory]).publicKey })));
  if (f[name] === undefined || f[name].length === 0) return null;
  const value = typeof f[name] === 'number' ? Math.max(0, f[name] + c.below(9) - 4) : flipped(c, f[name]);
  return byAnyone(ctx, c, base, replaced(base.records, i, withFields(r, { [name]: value })));
}

// The same words, signed by another agent, under his name or the author's.
function bundleOfAnother(ctx, c, base) {
  const entries = base.records.map((r, i) => i).filter((i) => isEntry(base.records[i]));
  const i = c.of(entries);
  const r = base.records[i];
  const header = part('bundle_header', r.fields.header);
  const key = c.of([ctx.mallory, ctx.eve, ctx.stranger, ctx.broker, ctx.by, ctx.first].filter((k) => !k.agent.equals(header.agent)));
  const changed = encode(c.is(50) ? { ...header, agent: key.agent, public_key: header.public_key && key.publicKey } : header);
  return byAnyone(ctx, c, base, replaced(base.records, i, withFields(r, { header: changed, signature: sign('bundle', key, ctx.ledger.id, changed) })));
}

const otherFacts = (ctx, c) => c.of([
  { kind: 1, space: 'main', key: `plan${c.below(9)}` }, { kind: 2, task: c.below(1000) }, { kind: 3, revision: c.below(ctx.size), size: ctx.size },
  { kind: 4, space: c.of(['main', 'lab']) }, { kind: 5, holder: c.of([ctx.by, ctx.mallory]).agent }, { kind: 6 },
]);
const noFacts = { space: undefined, key: undefined, task: undefined, revision: undefined, size: undefined, holder: undefined };

function facts(ctx, c, base) {
  const head = withFields(base.records[0], c.is(80) ? { ...noFacts, ...otherFacts(ctx, c) } : { time: c.below(2 ** 31) });
  return byOthers(ctx, c, base, [head, ...base.records.slice(1)]);
}

// More than is there, said by the exporter himself.
function range(ctx, c, base) {
  const head = withFields(base.records[0], { ...noFacts, kind: 3, revision: c.below(3), size: base.size });
  return byAnyone(ctx, c, base, [head, ...base.records.slice(1)]);
}

function treeHead(ctx, c, base) {
  const { ledger } = ctx;
  const size = c.is(50) ? base.size : 1 + c.below(base.size);
  const right = rootOf(ledger.entries.slice(0, size));
  const head = { ledger: c.is(10) ? ctx.by.agent : ledger.id, size, root: c.is(30) ? c.bytes(32) : right, epoch: ledger.epoch };
  const text = noteOf(c.of([ctx.stranger, ctx.mallory, ctx.by]), head);
  return byAnyone(ctx, c, base, [withFields(base.records[0], { text }), ...base.records.slice(1)]);
}

function resign(ctx, c, base) {
  return bySomebody(ctx, c, base.records);
}

// Whole, and honest as far as it goes, but another's.
function reexport(ctx, c) {
  const indices = ctx.ledger.entries.map((e) => e.index).filter(() => c.is(10));
  const by = c.of([ctx.mallory, ctx.eve]);
  return exportOf(ctx.ledger, { indices, facts: otherFacts(ctx, c), by, text: ctx.text, size: ctx.size });
}

// The broker's operator puts words into somebody's mouth, and signs the tree.
function operator(ctx, c, base) {
  const { ledger, size, by, broker, mallory, eve, stranger, first } = ctx;
  const e = ledger.entries[c.of(base.said)];
  const session = ledger.entries[e.session];
  const keys = [mallory, eve, stranger, broker, first].filter((k) => !k.publicKey.equals(session.bundle.public_key));
  const key = c.of([undefined, ...keys]);
  const value = c.bytes(1 + c.below(20));
  const slots = Buffer.concat([u32(value.length), tagged('slot/1', Buffer.alloc(16), value)]);
  const other = c.of(ledger.entries.filter((x) => x.says.message === 'session_open'));
  const bundle = c.of([
    {}, {}, key ? { agent: key.agent } : {}, { session: c.below(size) }, { time: c.below(2 ** 40) }, { seen: c.below(size) }, { first_seq: 1 + c.below(99) },
    key ? { session: 0, public_key: key.publicKey } : { session: 0, public_key: mallory.publicKey }, { session: other.index, agent: other.bundle.agent },
  ]);
  const says = c.is(70) ? { verb: 7, space: 'main', key: c.of(['plan', 'notes/wood']), slots } : undefined;
  const rest = says ? { slots: [{ salt: Buffer.alloc(16), value }], effectSlots: [], effect: Buffer.alloc(0) } : {};
  const theirs = other.bundle.public_key;
  if (key && bundle.agent && theirs.equals(key.publicKey) && bundle.session === other.index) return null;
  const lie = forge(ledger, e, { says, bundle, key, ...rest });
  if (!key && lie.bundle.header.equals(e.bundle.header)) return null;
  const its = { ...ledger, entries: replaced(ledger.entries.slice(0, size), e.index, lie) };
  const text = noteOf(broker, { ledger: ledger.id, size, root: rootOf(its.entries), epoch: ledger.epoch });
  const indices = [...new Set([e.index, ...(c.is(50) ? base.said.filter(() => c.is(20)) : [])])];
  return exportOf(its, { indices, facts: { kind: 6 }, by, text, size });
}

const kinds = [
  [24, flip], [6, cut], [4, grow], [5, stretch], [4, swapBytes], [8, swapFields], [3, swapHashes], [9, reorder], [4, repeat], [4, remove],
  [4, splice], [6, leaveOut], [2, putIn], [10, edit], [5, bundleOfAnother], [4, facts], [1, range], [3, treeHead], [4, resign], [1, reexport], [4, operator],
];
const weight = kinds.reduce((sum, [w]) => sum + w, 0);

function kindOf(c) {
  let left = c.below(weight);
  return kinds.find(([w]) => (left -= w) < 0)[1];
}

// What may not be left out of a base, even by the exporter.
function neededIn(ctx, base) {
  const { entries } = ctx.ledger;
  const out = new Set([0]);
  const its = base.records.filter((r) => r.kind === ENTRY).map((r) => entries[r.fields.revision]);
  const authors = new Set([ctx.by, ...its.map((e) => e.bundle)].map((b) => b.agent.toString('hex')));
  const sessions = new Set(its.map((e) => e.session).filter((s) => s));
  const keys = new Set([ctx.by.publicKey, ...[...sessions].map((s) => entries[s].bundle.public_key)].map((k) => k.toString('hex')));
  for (const s of sessions) out.add(s);
  for (const r of base.records.filter(isEntry)) {
    const { message: verb, fields: f } = entries[r.fields.revision].says;
    const whose = verb === 'admit' ? f.agent : entries[r.fields.revision].bundle.agent;
    const enrols = (verb === 'enrol' || verb === 'admit') && authors.has(whose.toString('hex'));
    const gives = (verb === 'rotate' || verb === 'recover') && f.public_key && keys.has(f.public_key.toString('hex'));
    if (enrols || gives) out.add(r.fields.revision);
  }
  if (base.records[0].fields.kind === 3) {
    const { revision, size } = base.records[0].fields;
    for (let i = revision; i < size; i++) out.add(i);
  }
  return out;
}

const identities = ['genesis', 'admit', 'enrol', 'session_open', 'rotate', 'recover', 'revoke', 'suspect'];

// ctx as contextOf makes it, and `bases`: [{ name, bytes }], exports by ctx.by.
// Returns what makes the forgery of a number: { what, bytes }.
export function mutants(ctx, seed) {
  for (const base of ctx.bases) {
    Object.assign(base, open(base.bytes));
    base.needed = neededIn(ctx, base);
    const entries = base.records.filter(isEntry).map((r) => ctx.ledger.entries[r.fields.revision]);
    base.mayBeIdentity = new Set(entries.filter((e) => identities.includes(e.says.message) && e.outcome === 0).map((e) => e.index));
    base.said = entries.filter((e) => e.session).map((e) => e.index);
  }
  const all = new Set(ctx.bases.map((b) => b.bytes.toString('latin1')));
  return (number) => {
    const c = new Chance(seed + Math.imul(number, 0x85ebca77));
    for (;;) {
      const base = c.of(ctx.bases);
      const make = kindOf(c);
      const bytes = make(ctx, c, base);
      if (bytes && !all.has(bytes.toString('latin1'))) return { what: `${make.name} of ${base.name}`, bytes };
    }
  };
}

// All bytes of those files that have so many together, the smallest first.
export function flipsOf(bases, most) {
  const out = [];
  for (const base of [...bases].sort((a, b) => a.bytes.length - b.bytes.length)) {
    if (out.length + base.bytes.length > most) break;
    for (let i = 0; i < base.bytes.length; i++) out.push([base, i]);
  }
  return out;
}

// One byte of a file, changed by itself.
export function everyByte(base, at, seed) {
  return { what: `byte ${at} of ${base.name}`, bytes: flipped(new Chance(seed + at), base.bytes, at) };
}
