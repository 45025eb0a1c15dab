// Bundles, answers and armour, in the steps of proto/README.md.
import { Cursor, Refusal, malformed } from './bytes.mjs';
import { limits, message, part, slotRows } from './schema.mjs';
import { base64url, checkSignature, climb, node, root, tagged } from './trust.mjs';

const SALT = 16;

function signedHeader(c, magic, name) {
  if (!c.take(4).equals(Buffer.from(magic))) malformed('another magic');
  const n = c.u32();
  if (n > limits.HEADER_BYTES) malformed('header too long');
  const header = c.take(n);
  const signature = c.take(64);
  return { header, signature, read: () => part(name, header) };
}

function formatOne(fields) {
  if (fields.format !== 1) throw new Refusal('UNSUPPORTED', `format ${fields.format}`);
}

export function openBundle(frame) {
  const c = new Cursor(frame);
  const { header, signature, read } = signedHeader(c, 'CHB1', 'bundle_header');
  const h = read();
  formatOne(h);
  if (h.count < 1 || h.count > limits.BUNDLE_OPS) malformed('count');
  if (h.first_seq + h.count - 1 > Number.MAX_SAFE_INTEGER) malformed('numbers too large');
  if (h.kind !== 1 && h.kind !== 2) malformed('kind');
  if ((h.public_key !== undefined) !== (h.session === 0)) malformed('a key belongs into session 0');
  return { ...h, header, signature, hash: tagged('bundle/1', header), rest: c.take(c.left) };
}

export function verifyBundle(b, key) {
  checkSignature('bundle', key, b.ledger, b.header, b.signature);
}

// One payload section, checked against its rows.
export function section(c, rows) {
  return rows.map(({ length, hash }) => {
    const salt = c.take(SALT);
    const value = c.take(length);
    if (!tagged('slot/1', salt, value).equals(hash)) malformed('payload does not have the hash of its slot');
    return { salt, value };
  });
}

export function checkBundle(b, kinds) {
  const c = new Cursor(b.rest);
  const ops = [];
  for (let i = 0; i < b.count; i++) {
    const n = c.u32();
    if (n > limits.HEAD_BYTES) malformed('head too long');
    const head = c.take(n);
    const op = { head, hash: tagged('op/1', head), refusal: 'OK', field: 0 };
    try {
      op.message = message(head, kinds);
    } catch (e) {
      if (e.code !== 'UNSUPPORTED') throw e;
      op.refusal = e.code;
      op.field = e.field;
    }
    op.rows = slotRows(head);
    ops.push(op);
  }
  if (!root(ops.map((op) => op.hash), node).equals(b.root)) malformed('not the root of these operations');
  for (const op of ops) op.slots = section(c, op.rows);
  c.end('the last payload');
  return ops;
}

const PIECE = 1016;

// Of the body's bytes as they lie; a long one's pieces are hashed first.
function answerLeaf(body) {
  if (body.length <= PIECE) return tagged('answer/1', body);
  const pieces = [];
  for (let at = 0; at < body.length; at += PIECE) pieces.push(tagged('piece/1', body.subarray(at, at + PIECE)));
  return tagged('pieces/1', ...pieces);
}

export function openAnswer(frame) {
  const c = new Cursor(frame);
  const { header, signature, read } = signedHeader(c, 'CHA1', 'answer_header');
  const position = c.u32();
  const hashes = c.u32();
  if (hashes > 32) malformed('path too long');
  const path = [];
  for (let i = 0; i < hashes; i++) path.push(c.take(32));
  const body = c.bytes.subarray(c.at);
  const session = Number(c.u64()); // an id above 2^53-1 is nobody's
  const agent = c.take(32);
  const items = c.u32();
  const h = read();
  formatOne(h);
  const got = climb(node, answerLeaf(body), position, h.count, path);
  if (!got.equals(h.answers)) malformed('path leads elsewhere');
  return { ...h, header, signature, session, agent, items, rest: c };
}

export function verifyAnswer(a, key) {
  checkSignature('answer', key, a.ledger, a.header, a.signature);
}

export function answerItems(a) {
  const out = [];
  for (let i = 0; i < a.items; i++) {
    const bytes = a.rest.take(a.rest.u32());
    out.push({ bytes, ...message(bytes, ['item']) });
  }
  a.rest.end('the last item');
  return out;
}

const words = { identity: 'choir-identity-1:', invitation: 'choir-invite-1:' };

export function armour(name, text) {
  const line = text
    .split('\n')
    .map((l) => l.replace(/^ +|[ \r]+$/g, ''))
    .find((l) => l && !l.startsWith('#'));
  if (!line || !line.startsWith(words[name])) malformed(`no ${name}`);
  const bytes = base64url(line.slice(words[name].length));
  return { bytes, fields: part(name, bytes) };
}
