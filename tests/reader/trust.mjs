// Hashes, trees, signatures and signed notes.
import { createHash, createPrivateKey, createPublicKey, verify } from 'node:crypto';
import { Refusal, fromHex, malformed, u64 } from './bytes.mjs';

const sha256 = (...parts) => parts.reduce((h, p) => h.update(p), createHash('sha256')).digest();
const padded = (text, n) => Buffer.concat([Buffer.from(text), Buffer.alloc(n - text.length)]);

export function tagged(tag, ...parts) {
  const h = createHash('blake2b512').update(padded(tag, 8));
  for (const p of parts) h.update(p);
  return h.digest().subarray(0, 32);
}

export const agentId = (key) => tagged('agent/1', key);
export const node = (l, r) => tagged('node/1', l, r);
export const ledgerLeaf = (data) => sha256(Buffer.from([0]), data);
export const ledgerNode = (l, r) => sha256(Buffer.from([1]), l, r);
export const emptyRoot = sha256();

export function root(leaves, join) {
  let level = leaves;
  while (level.length > 1) {
    const up = [];
    for (let i = 0; i + 1 < level.length; i += 2) up.push(join(level[i], level[i + 1]));
    if (level.length % 2) up.push(level.at(-1));
    level = up;
  }
  return level[0];
}

// The ledger's tree while it grows: its right edge, and so any earlier head.
export class Tree {
  constructor() {
    this.size = 0;
    this.edge = [];
  }
  // A leaf, or the root of that many that begin at a multiple of their number.
  add(leaf, leaves = 1) {
    for (let n = this.size / leaves; n % 2; n = Math.floor(n / 2)) leaf = ledgerNode(this.edge.pop(), leaf);
    this.edge.push(leaf);
    this.size += leaves;
  }
  root() {
    return this.size ? this.edge.reduceRight((right, left) => ledgerNode(left, right)) : emptyRoot;
  }
}

export function climb(join, leaf, i, n, path) {
  if (i >= n) malformed('position outside the tree');
  let at = leaf;
  let used = 0;
  for (; n > 1; i = Math.floor(i / 2), n = Math.ceil(n / 2)) {
    if ((i % 2 ? i - 1 : i + 1) >= n) continue;
    if (used === path.length) malformed('path too short');
    at = i % 2 ? join(path[used], at) : join(at, path[used]);
    used++;
  }
  if (used !== path.length) malformed('path too long');
  return at;
}

const spki = fromHex('302a300506032b6570032100');
const keys = new Map();

function keyObject(raw) {
  const name = raw.toString('hex');
  if (!keys.has(name)) {
    keys.set(name, createPublicKey({ key: Buffer.concat([spki, raw]), format: 'der', type: 'spki' }));
  }
  return keys.get(name);
}

export function publicOf(seed) {
  const der = Buffer.concat([fromHex('302e020100300506032b657004220420'), seed]);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  return createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(12);
}

// Points of small order as they may be written, without the sign; libsodium
// takes none as a key or an R, nor keys whose y is not below 2^255-19.
const small = new Set([
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  `ec${'ff'.repeat(30)}7f`,
  `ed${'ff'.repeat(30)}7f`,
  `ee${'ff'.repeat(30)}7f`,
]);

function unsigned(point) {
  const p = Buffer.from(point);
  p[31] &= 0x7f;
  return p;
}

function checkPoints(key, r) {
  const y = unsigned(key);
  const reduced = y[31] < 0x7f || y.subarray(1, 31).some((b) => b !== 0xff) || y[0] < 0xed;
  if (!reduced || [y, unsigned(r)].some((p) => small.has(p.toString('hex')))) throw new Refusal('BAD_SIGNATURE', 'of small order');
}

// For who reads the same signatures again and again: those that fitted.
let fitted = null;
export const rememberSignatures = () => (fitted = new Set());

function signed(text, key, signature) {
  const name = fitted && sha256(u64(text.length), text, key, signature).toString('latin1');
  if (fitted?.has(name)) return;
  checkPoints(key, signature.subarray(0, 32));
  if (!verify(null, text, keyObject(key), signature)) throw new Refusal('BAD_SIGNATURE', 'it does not fit');
  fitted?.add(name);
}

export function checkSignature(purpose, key, ledger, body, signature) {
  const lead = [padded(`choir ${purpose} 1`, 16), ledger, u64(body.length)];
  signed(Buffer.concat([...lead, body]), key, signature);
}

function base64(text, urlSafe = false) {
  const format = urlSafe ? 'base64url' : 'base64';
  const out = Buffer.from(text, format);
  if (out.toString(format) !== text) malformed('not base64');
  return out;
}
export const base64url = (text) => base64(text, true);

// A C2SP checkpoint, as strictly as Choir writes it.
export function note(text, key) {
  const shape =
    /^(choir\.ledger\/([0-9a-f]{64}))\n(0|[1-9][0-9]*)\n([^\n]*)\nepoch (0|[1-9][0-9]*)\n\n\u2014 ([^ \n]*) ([^ \n]*)\n$/;
  const m = shape.exec(text);
  if (!m || m[6] !== m[1]) malformed('not a checkpoint note');
  const head = { ledger: fromHex(m[2]), size: Number(m[3]), root: base64(m[4]), epoch: Number(m[5]) };
  if (head.root.length !== 32) malformed('root is no hash');
  if (!Number.isSafeInteger(head.size) || !Number.isSafeInteger(head.epoch)) malformed('number too large');
  const blob = base64(m[7]);
  if (blob.length !== 68) malformed('not one signature');
  const id = sha256(Buffer.from(`${m[1]}\n\x01`), key).subarray(0, 4);
  if (!blob.subarray(0, 4).equals(id)) throw new Refusal('BAD_SIGNATURE', "another key's note");
  signed(Buffer.from(text.slice(0, text.indexOf('\n\n') + 1)), key, blob.subarray(4));
  return head;
}
