// Checks a whole data directory from docs/ledger-format.md and
// proto/README.md alone:
//
//   node tests/reader/verify.mjs DIR [--key HEX]
//
// every sum, hash and signature, every slot and leaf, who may say what, the
// tree heads and notes of the checkpoints, the seal. Prints what it checked;
// names the first failure and exits 1. --key pins the broker's first public
// key; without it the ledger is consistent, but whose it is is not known.
// Only the unsynced end of an unsealed record may be torn; that is reported.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Cursor, fromHex, isZero, malformed } from './bytes.mjs';
import { checkBundleIsAllowed } from './authors.mjs';
import { GROUP_HEADER, SEGMENT_HEADER, groupBundles, groupCheck, groupHeader, segmentHeader, sum } from './record.mjs';
import { Missing } from './missing.mjs';
import { Tree, checkSignature, node, note, root } from './trust.mjs';

const align = (n) => Math.ceil(n / 8) * 8;
const zeros = Buffer.alloc(32);

// What has been learned so far.
class Ledger {
  constructor(pinned) {
    this.pinned = pinned;
    this.size = 0;
    this.time = 0;
    this.epoch = 0;
    this.synced = 0;
    this.last = zeros; // hash of the last group
    this.tree = new Tree();
    this.missing = new Missing();
    this.agents = new Map(); // agent id -> { keys, revoked, recovery }
    this.sessions = new Map(); // id -> { agent, key, next, prev, over }
    this.counts = { segments: 0, groups: 0, signatures: 0, entries: 0, slots: 0, checkpoints: 0, notes: 0 };
  }
}

// A tree head the broker states in an entry: that of all entries before it.
function headFits(l, e, f) {
  if (f.size !== e.index) malformed(`${e.message.message} of size ${f.size}`);
  if (!l.tree.root().equals(f.root)) malformed(`${e.message.message} states another root`);
}

function checkpoint(l, e, f) {
  headFits(l, e, f);
  l.counts.checkpoints++;
  const n = note(f.text, l.brokerKey);
  if (!n.ledger.equals(l.id) || n.size !== f.size || !n.root.equals(f.root)) malformed('its note says otherwise');
  if (n.epoch !== e.bundle.epoch) malformed("its note's epoch is another");
  l.counts.notes++;
}

function newEpoch(l, e, f) {
  headFits(l, e, f);
  if (f.epoch <= l.epoch) malformed('a new epoch that is not higher');
}

// The header that was not accepted, signed by the session's own key.
function equivocate(l, f) {
  checkSignature('bundle', l.sessions.get(f.session).key, l.id, f.header, f.signature);
  l.counts.signatures++;
}

function entry(l, e) {
  const f = e.message.fields;
  if (e.message.message === 'checkpoint') checkpoint(l, e, f);
  if (e.message.message === 'new_epoch') newEpoch(l, e, f);
  if (e.message.message === 'equivocate') equivocate(l, f);
  l.tree.add(e.leaf);
  l.size++;
  l.counts.entries++;
  l.missing.entry(e);
  l.counts.slots += [...e.slots, ...e.effectSlots].filter((s) => !s.missing).length;
}

function bundle(l, b) {
  if (!root(b.entries.map((e) => e.hash), node).equals(b.root)) malformed("the operations' root");
  const key = checkBundleIsAllowed(l, b);
  checkSignature('bundle', key, l.id, b.header, b.signature);
  l.counts.signatures++;
  for (const e of b.entries) {
    try {
      entry(l, e);
    } catch (error) {
      error.message = `entry ${e.index}: ${error.message}`;
      throw error;
    }
  }
}

// The next group as bytes: whole, and at its place. A torn write fails here.
function groupAt(bytes, at, nonce) {
  const header = bytes.subarray(at, at + GROUP_HEADER);
  const g = groupHeader(header, nonce, at);
  const end = at + GROUP_HEADER + g.heads + g.stored;
  if (align(end) > bytes.length) malformed('it goes beyond the file');
  const body = bytes.subarray(at + GROUP_HEADER, end);
  groupCheck(g, header, body);
  if (!isZero(bytes.subarray(end, align(end)))) malformed('its padding');
  return { g, bundles: groupBundles(g, body), end: align(end) };
}

function group(l, g, bundles) {
  if (g.first !== l.size) malformed(`it begins at ${g.first}`);
  if (g.count < 1 || g.bundles < 1) malformed('it is empty');
  if (!g.prev.equals(l.last)) malformed('it does not follow the group before');
  if (g.epoch < l.epoch) malformed('its epoch is lower');
  if (g.time < l.time) malformed('its time is lower');
  if (g.synced > g.first || g.synced < l.synced) malformed('its synced mark');
  [l.epoch, l.time, l.synced, l.last] = [g.epoch, g.time, g.synced, g.hash];
  for (const b of bundles) bundle(l, b);
  l.counts.groups++;
}

// Groups up to the first bytes that are none; where they end.
function groups(l, bytes, nonce) {
  let at = SEGMENT_HEADER;
  while (bytes.length - at >= GROUP_HEADER && !isZero(bytes.subarray(at, at + GROUP_HEADER))) {
    const index = l.size;
    let next;
    try {
      next = groupAt(bytes, at, nonce);
      group(l, next.g, next.bundles);
      at = next.end;
    } catch (error) {
      if (!next) error.torn = { at, index };
      error.message = `group at ${at}, entry ${index}: ${error.message}`;
      throw error;
    }
  }
  return at;
}

// The end of an unsealed record may be torn where nothing was known synced.
function mayBeCut(l, bytes, nonce, { at, index }) {
  if (l.synced > index) return false;
  for (let o = at; o + GROUP_HEADER <= bytes.length; o += 8) {
    if (bytes.readUInt32LE(o) !== 0x52474843) continue;
    try {
      if (groupHeader(bytes.subarray(o, o + GROUP_HEADER), nonce, o).synced > index) return false;
    } catch {
      // no header
    }
  }
  return true;
}

function segment(l, bytes, number, last, sealed) {
  const s = segmentHeader(bytes);
  if (l.id && !s.ledger.equals(l.id)) malformed('another ledger');
  l.id ??= s.ledger;
  if (s.number !== number) malformed('another number');
  if (s.first !== l.size) malformed(`it begins at ${s.first}`);
  if (!s.prev_group.equals(l.last)) malformed('it does not follow the segment before');
  l.counts.segments++;
  let end;
  try {
    end = groups(l, bytes, s.nonce);
  } catch (error) {
    if (!error.torn || sealed || !last || !mayBeCut(l, bytes, s.nonce, error.torn)) throw error;
    l.torn = bytes.subarray(error.torn.at).findLastIndex((b) => b !== 0) + 1;
    return error.torn.at;
  }
  if (!last && end !== bytes.length) malformed('bytes behind its last group');
  if (!isZero(bytes.subarray(end))) malformed('bytes behind its last group are not zeros');
  return end;
}

function seal(l, bytes, end, lastBytes, spareBytes) {
  const c = new Cursor(bytes);
  if (bytes.length !== 152 || c.take(8).toString('latin1') !== 'CHOIRSEA' || c.u32() !== 1) malformed('no seal');
  if (!isZero(c.take(4)) || !sum(bytes.subarray(0, 136)).equals(bytes.subarray(136))) malformed('its sum');
  if (!c.take(32).equals(l.id)) malformed('another ledger');
  const says = Array.from({ length: 7 }, () => c.number());
  const is = [l.size, l.epoch, l.time, l.counts.segments, end, lastBytes, spareBytes];
  if (says.some((v, i) => v !== is[i])) malformed(`it says ${says}, but there is ${is}`);
  if (!c.take(32).equals(l.last)) malformed('another last group');
  l.sealed = true;
}

// Allocated ahead: zeros alone; or a header that a crash left unfinished.
function isSpare(bytes, files, sealed) {
  if (files < 2) return false;
  if (isZero(bytes)) return true;
  if (sealed || !isZero(bytes.subarray(SEGMENT_HEADER))) return false;
  try {
    segmentHeader(bytes);
    return false;
  } catch (error) {
    return error.code === 'MALFORMED';
  }
}

function verify(dir, pinned) {
  const names = readdirSync(dir).filter((n) => /^segment-[0-9]{10}$/.test(n)).sort();
  const l = new Ledger(pinned);
  const at = (what, run) => {
    try {
      return run();
    } catch (error) {
      error.message = `${what}: ${error.message}`;
      throw error;
    }
  };
  const files = names.map((n) => ({ n, bytes: readFileSync(join(dir, n)) }));
  files.forEach(({ n }, i) => at(n, () => Number(n.slice(8)) === i + 1 || malformed('a number is missing')));
  const sealFile = join(dir, 'seal');
  const sealed = existsSync(sealFile);
  const spare = isSpare(files.at(-1)?.bytes, files.length, sealed) ? files.pop() : null;
  if (!files.length) malformed('there is no segment');
  let end;
  files.forEach(({ n, bytes }, i) => {
    end = at(n, () => segment(l, bytes, i + 1, i === files.length - 1, sealed));
  });
  l.missing.end();
  if (sealed) at('seal', () => seal(l, readFileSync(sealFile), end, files.at(-1).bytes.length, spare?.bytes.length ?? 0));
  return l;
}

const args = process.argv.slice(2);
const key = args.indexOf('--key') >= 0 ? fromHex(args.splice(args.indexOf('--key'), 2)[1]) : null;
if (args.length !== 1) {
  console.error('usage: verify.mjs DIR [--key HEX]');
  process.exit(2);
}
try {
  const l = verify(args[0], key);
  const c = l.counts;
  console.log(
    `${c.entries} entries, ${c.signatures} signatures, ${c.slots} payloads, ${c.groups} groups, ` +
      `${c.segments} segments, ${c.checkpoints} checkpoints, ${c.notes} notes`,
  );
  console.log(`tree head ${l.tree.root().toString('hex')} of ${l.size}`);
  if (l.torn) console.log(`the last ${l.torn} bytes were never acknowledged`);
  console.log(l.sealed ? 'sealed' : 'not sealed');
  console.log(key ? 'broker key: as pinned' : `unknown key ${l.brokerKey.toString('hex')}: none is pinned`);
} catch (error) {
  console.log(`FAILED ${error.message}`);
  process.exitCode = 1;
}
