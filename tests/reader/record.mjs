// Segments and groups of docs/ledger-format.md, as bytes.
import { Cursor, Refusal, isZero, malformed, u32, u64 } from './bytes.mjs';
import { limits, part, slotRows } from './schema.mjs';
import { ledgerLeaf, tagged } from './trust.mjs';
import { section } from './frames.mjs';

export const SEGMENT_HEADER = 144;
export const GROUP_HEADER = 160;

export const sum = (...parts) => tagged('sum/1', ...parts).subarray(0, 16);

export function segmentHeader(bytes) {
  const c = new Cursor(bytes.subarray(0, SEGMENT_HEADER));
  if (c.take(8).toString('latin1') !== 'CHOIRSEG') malformed('no segment');
  if (!sum(bytes.subarray(0, 128)).equals(bytes.subarray(128, 144))) malformed("the segment header's sum");
  const format = c.u32();
  if (format !== 1 && format !== 2) throw new Refusal('UNSUPPORTED', `format ${format}`);
  if (!isZero(c.take(4))) malformed('reserved bytes of a segment header');
  const out = {
    thin: format === 2,
    ledger: c.take(32),
    number: c.number(),
    first: c.number(),
    epoch: c.number(),
    nonce: c.take(16),
    prev_group: c.take(32),
  };
  if (!isZero(c.take(8))) malformed('reserved bytes of a segment header');
  return out;
}

export function groupHeader(bytes, nonce, offset) {
  const c = new Cursor(bytes.subarray(0, GROUP_HEADER));
  const magic = c.take(4).toString('latin1');
  const thin = magic === 'CHGT';
  const word = c.u32();
  if (!thin && (magic !== 'CHGR' || word !== 0)) malformed('no group');
  const place = sum(nonce, u64(offset), bytes.subarray(0, 144));
  if (!place.equals(bytes.subarray(144, GROUP_HEADER))) malformed("the group header's sum");
  const g = { epoch: c.number(), first: c.number(), count: c.u32(), bundles: c.u32() };
  Object.assign(g, { heads: c.number(), payloads: c.number(), synced: c.number(), time: c.number() });
  Object.assign(g, { prev: c.take(32), hash: c.take(32), sum: c.take(16) });
  g.thin = thin;
  g.stored = thin ? word : g.payloads;
  if (g.heads >= 2 ** 32 || g.payloads >= 2 ** 32) malformed('group too large');
  return g;
}

// Heads by the group's hash, a thin group's marks by the sum. Payloads have to
// fit the hashes in the heads: groupBundles compares them.
export function groupCheck(g, header, body) {
  if (body.length !== g.heads + g.stored) malformed("the body's length");
  const stored = new Cursor(body.subarray(g.heads));
  const marks = g.thin ? stored.bytes.subarray(0, 4 + stored.u32()) : Buffer.alloc(0);
  if (!sum(marks).equals(g.sum)) malformed("the sum of the marks");
  const first = Buffer.from('CHGR\0\0\0\0', 'latin1');
  const hash = tagged('group/1', first, header.subarray(8, 96), body.subarray(0, g.heads));
  if (!hash.equals(g.hash)) malformed("the group's hash");
}

export function leafOf(e) {
  const statement = tagged('entry/1', e.bundle.hash, u32(e.position), e.hash);
  return ledgerLeaf(
    Buffer.concat([
      u64(e.index),
      u64(e.time),
      e.bundle.agent,
      u64(e.session),
      u64(e.seq),
      statement,
      u32(e.outcome),
      tagged('effect/1', e.effect),
    ]),
  );
}

export function bundleOf(header, signature) {
  const fields = part('bundle_header', header);
  if (fields.count < 1 || fields.count > limits.BUNDLE_OPS) malformed('count of a bundle');
  return { ...fields, header, signature, hash: tagged('bundle/1', header), entries: [] };
}

// What is stored of one section: of each slot salt and payload, or the mark
// that says why they are missing.
export function thinSection(c, rows, marks, highest = 2) {
  if (!marks) return section(c, rows);
  return rows.map((row) => {
    const mark = marks.u8();
    if (mark > highest) malformed('a mark');
    return mark ? { missing: mark } : section(c, [row])[0];
  });
}

// The group's bundles, each with its entries.
export function groupBundles(g, body) {
  const heads = new Cursor(body.subarray(0, g.heads));
  const payloads = new Cursor(body.subarray(g.heads));
  const marks = g.thin ? new Cursor(payloads.take(payloads.u32())) : null;
  const out = [];
  let index = g.first;
  for (let b = 0; b < g.bundles; b++) {
    const header = heads.take(heads.u32());
    const bundle = bundleOf(header, heads.take(64));
    for (let position = 0; position < bundle.count; position++) {
      const headBytes = heads.u32();
      const word = heads.u32();
      const e = { index, position, time: g.time, session: bundle.session, seq: bundle.first_seq + position };
      e.outcome = word >>> 24;
      e.head = heads.take(headBytes);
      e.effect = heads.take(word & 0xffffff);
      e.hash = tagged('op/1', e.head);
      e.bundle = bundle;
      const from = payloads.at;
      e.slots = thinSection(payloads, slotRows(e.head), marks);
      const between = payloads.at;
      e.effectSlots = e.effect.length ? thinSection(payloads, slotRows(e.effect), marks) : [];
      e.payload = payloads.bytes.subarray(from, between);
      e.effectPayload = payloads.bytes.subarray(between, payloads.at);
      e.leaf = leafOf(e);
      bundle.entries.push(e);
      index++;
    }
    out.push(bundle);
  }
  heads.end('the last head');
  payloads.end('the last payload');
  if (marks) marks.end('the last mark');
  if (index !== g.first + g.count) malformed("the group's count");
  return out;
}
