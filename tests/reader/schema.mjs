// Messages by the tables that stand in proto/README.md itself.
import { readFileSync } from 'node:fs';
import { Cursor, Refusal, malformed } from './bytes.mjs';
import { next, skip, text } from './pack.mjs';

const readme = readFileSync(new URL('../../proto/README.md', import.meta.url), 'utf8');
const SLOT_ROW = 36;

function table(name) {
  const from = readme.indexOf(`<!-- ${name}: made by make vectors -->`);
  const rows = readme.slice(from, readme.indexOf('<!-- end -->', from)).split('\n');
  return rows
    .filter((r) => r.startsWith('| ') && !r.startsWith('|---'))
    .slice(1)
    .map((r) => r.split('|').slice(1, -1).map((cell) => cell.trim().replace(/`/g, '')));
}

const limits = Object.fromEntries(table('limits').map(([name, value]) => [name, Number(value)]));
export { limits };

export const refusals = new Map(table('refusals').map(([code, name, kind]) => [Number(code), { name, kind }]));

const bound = (kind, most) => {
  if (kind === 'list') return most.replace('of ', '');
  return most === '2^53−1' ? Number.MAX_SAFE_INTEGER : parseInt(most, 10);
};
export const fields = new Map(
  table('fields').map(([number, name, kind, most]) => [
    Number(number),
    { name, kind, most: bound(kind, most) },
  ]),
);
const numbers = new Map([...fields].map(([number, row]) => [row.name, number]));

const names = (cell) => new Set(cell ? cell.split(', ').map((n) => numbers.get(n)) : []);
const verbs = new Map(); // verb -> row
const parts = new Map(); // name -> row
for (const [section, kind] of [
  ['operations', 'operation'],
  ['broker', 'broker'],
  ['asks', 'ask'],
  ['items', 'item'],
]) {
  for (const [verb, name, need, may] of table(section)) {
    verbs.set(Number(verb), { name, kind, need: names(need), may: names(may) });
  }
}
for (const [name, need, may] of table('parts')) parts.set(name, { name, need: names(need), may: names(may) });

const unsupported = (number) => {
  throw new Refusal('UNSUPPORTED', `field ${number}`, Number(number));
};

function pairs(c, most) {
  const item = next(c);
  if (item.kind !== 'map' || item.n > most) malformed('not labels');
  const out = {};
  let last = null;
  for (let i = 0; i < item.n; i++) {
    const name = next(c);
    const label = text(name, limits.LABEL_BYTES);
    if (last && Buffer.compare(last, name.bytes) >= 0) malformed('labels do not ascend');
    last = name.bytes;
    out[label] = text(next(c), limits.LABEL_BYTES);
  }
  return out;
}

function list(c, part) {
  const item = next(c);
  if (item.kind !== 'array' || item.n > limits.LIST_ITEMS) malformed('not a list');
  const out = [];
  for (let i = 0; i < item.n; i++) out.push(map(c, parts.get(part)).fields);
  return out;
}

function value(c, row) {
  if (row.kind === 'list') return list(c, row.most);
  if (row.kind === 'labels') return pairs(c, row.most);
  const item = next(c);
  if (row.kind === 'integer') {
    if (item.kind !== 'uint' || item.v > BigInt(row.most)) malformed(`${row.name} is no such integer`);
    return Number(item.v);
  }
  if (row.kind === 'text') return text(item, row.most);
  if (item.kind !== 'bytes') malformed(`${row.name} is not bytes`);
  const n = item.bytes.length;
  const fits = {
    hash: n === 32,
    signature: n === 64,
    slots: n % SLOT_ROW === 0 && n / SLOT_ROW <= row.most,
    bytes: n <= row.most,
  }[row.kind];
  if (!fits) malformed(`${row.name} of ${n} bytes`);
  return item.bytes;
}

// kinds: null for a part, whose row is known; else the classes allowed.
function map(c, row, kinds = null) {
  const head = next(c);
  if (head.kind !== 'map') malformed('not a map');
  const out = {};
  const seen = new Set();
  let last = 0n;
  for (let i = 0; i < head.n; i++) {
    const key = next(c);
    if (key.kind !== 'uint' || key.v <= last) malformed('field numbers do not ascend');
    last = key.v;
    if (kinds && i === 0) {
      const verb = next(c);
      if (key.v !== 1n || verb.kind !== 'uint') malformed('no verb');
      row = verb.v < 256n ? verbs.get(Number(verb.v)) : undefined;
      if (!row || !kinds.includes(row.kind)) unsupported(1);
      continue;
    }
    const number = Number(key.v < 255n ? key.v : 255n);
    if (!row.need.has(number) && !row.may.has(number)) unsupported(number);
    out[fields.get(number).name] = value(c, fields.get(number));
    seen.add(number);
  }
  if (!row) malformed('no verb');
  for (const number of row.need) if (!seen.has(number)) malformed(`${fields.get(number).name} is missing`);
  return { message: row.name, kind: row.kind ?? 'part', fields: out };
}

export function message(bytes, kinds) {
  const c = new Cursor(bytes);
  const m = map(c, null, kinds);
  c.end('a message');
  return m;
}

export function part(name, bytes) {
  const c = new Cursor(bytes);
  const m = map(c, parts.get(name));
  c.end('a part');
  return m.fields;
}

// The slot rows of any head or effect, known or not: [{ length, hash }].
export function slotRows(head) {
  const c = new Cursor(head);
  const top = next(c);
  if (top.kind !== 'map') malformed('not a map');
  let last = 0n;
  let rows = Buffer.alloc(0);
  for (let i = 0; i < top.n; i++) {
    const key = next(c);
    if (key.kind !== 'uint' || key.v <= last) malformed('field numbers do not ascend');
    last = key.v;
    if (key.v !== 4n) {
      skip(c, 1);
      continue;
    }
    const item = next(c);
    if (item.kind !== 'bytes' || item.bytes.length % SLOT_ROW || item.bytes.length / SLOT_ROW > limits.SLOTS) {
      malformed('not slots');
    }
    rows = item.bytes;
  }
  c.end('a head');
  const out = [];
  for (let at = 0; at < rows.length; at += SLOT_ROW) {
    out.push({ length: rows.readUInt32LE(at), hash: rows.subarray(at + 4, at + SLOT_ROW) });
  }
  return out;
}
