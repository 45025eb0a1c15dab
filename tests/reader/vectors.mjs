// Replays proto/vectors with nothing but Node's standard library and what
// proto/README.md says. Prints `N passed, M failed`.
import { readFileSync } from 'node:fs';
import assert from 'node:assert/strict';
import { Cursor, Refusal, fromHex, malformed } from './bytes.mjs';
import { checkExport } from './export.mjs';
import { skip } from './pack.mjs';
import { message, part } from './schema.mjs';
import {
  Tree, agentId, checkSignature, climb, emptyRoot, ledgerLeaf, ledgerNode, node, note, publicOf, root, tagged,
} from './trust.mjs';
import { answerItems, armour, checkBundle, openAnswer, openBundle, verifyAnswer, verifyBundle } from './frames.mjs';
import { groupBundles, groupCheck, groupHeader, segmentHeader } from './record.mjs';

const isHex = (got, wanted) => assert.equal(got.toString('hex'), wanted);
const plain = (v) => {
  if (Buffer.isBuffer(v)) return v.toString('hex');
  if (Array.isArray(v)) return v.map(plain);
  if (v && typeof v === 'object') return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, plain(x)]));
  return v;
};
const same = (got, wanted, names) => {
  for (const name of names) assert.deepEqual(plain(got[name]), wanted[name], name);
};

const fieldsOf = (c) =>
  c.class === 'part'
    ? { message: c.message, fields: part(c.message, fromHex(c.bytes)) }
    : message(fromHex(c.bytes), [c.class]);

const subjects = {
  items: {
    read(c) {
      const at = new Cursor(fromHex(c.bytes));
      skip(at);
      at.end('an item');
    },
  },
  messages: {
    read: fieldsOf,
    good(c) {
      const m = fieldsOf(c);
      assert.equal(m.message, c.message);
      assert.deepEqual(plain(m.fields), c.fields);
    },
  },
  keys: {
    read(c) {
      const [key, ledger, body, signature] = ['public_key', 'ledger', 'body', 'signature'].map((n) => fromHex(c[n]));
      checkSignature(c.purpose, key, ledger, body, signature);
    },
    good(c) {
      isHex(publicOf(fromHex(c.seed)), c.public_key);
      isHex(agentId(fromHex(c.public_key)), c.agent);
      this.read(c);
    },
  },
  hashes: {
    read(c) {
      const data = fromHex(c.data ?? '');
      if (c.kind === 'slot') {
        const row = fromHex(c.row);
        assert.equal(row.readUInt32LE(), c.value.length / 2);
        isHex(tagged('slot/1', fromHex(c.salt), fromHex(c.value)), c.row.slice(8));
      } else if (c.kind === 'tagged') isHex(tagged(c.tag, data), c.hash);
      else if (c.kind === 'leaf') isHex(ledgerLeaf(data), c.hash);
      else if (c.kind === 'node') isHex(ledgerNode(data.subarray(0, 32), data.subarray(32)), c.hash);
      else isHex(emptyRoot, c.hash);
    },
  },
  trees: {
    read(c) {
      const got = climb(node, fromHex(c.leaf), c.position, c.count, c.path.map(fromHex));
      if (got.toString('hex') !== c.root) malformed('another root');
    },
    good(c) {
      if (c.kind === 'sha256') {
        const tree = new Tree();
        const leaves = c.data.map((d) => ledgerLeaf(fromHex(d)));
        for (const leaf of leaves) tree.add(leaf);
        isHex(tree.root(), c.root);
        if (leaves.length) isHex(root(leaves, ledgerNode), c.root);
        return;
      }
      const leaves = c.leaves.map(fromHex);
      isHex(root(leaves, node), c.root);
      c.paths.forEach((p, i) => isHex(climb(node, leaves[i], i, leaves.length, p.map(fromHex)), c.root));
    },
  },
  bundles: {
    steps: (c) => {
      let b;
      return {
        open: () => (b = openBundle(fromHex(c.frame))),
        verify: () => verifyBundle(b, fromHex(c.public_key)),
        check: () => checkBundle(b, [c.class]),
      };
    },
    good(c) {
      const s = this.steps(c);
      const b = s.open();
      s.verify();
      const ops = s.check();
      same(b, c, ['header', 'hash', 'ledger', 'agent', 'root', 'kind', 'session', 'first_seq']);
      assert.equal(ops.length, c.operations.length);
      ops.forEach((op, i) => {
        const wanted = { field: 0, ...c.operations[i] };
        same(op, wanted, ['head', 'hash', 'refusal', 'field', 'slots']);
      });
    },
  },
  answers: {
    steps: (c) => {
      let a;
      return {
        open: () => (a = openAnswer(fromHex(c.frame))),
        verify: () => verifyAnswer(a, fromHex(c.broker_key)),
        items: () => answerItems(a),
      };
    },
    good(c) {
      const s = this.steps(c);
      const a = s.open();
      s.verify();
      same(a, c, ['ledger', 'epoch', 'time', 'size', 'root', 'session', 'agent']);
      assert.deepEqual(s.items().map((i) => plain(i.bytes)), c.items);
    },
  },
  notes: {
    read: (c) => note(c.text, fromHex(c.broker_key)),
    good(c) {
      same(this.read(c), c, ['ledger', 'size', 'root', 'epoch']);
    },
  },
  armour: {
    read: (c) => armour(c.part, c.text),
    good(c) {
      isHex(this.read(c).bytes, c.bytes);
    },
  },
  record: {
    read(c) {
      if (c.kind === 'segment') return segmentHeader(fromHex(c.bytes));
      const [header, body] = [fromHex(c.header), fromHex(c.body)];
      const g = groupHeader(header, fromHex(c.nonce), c.offset);
      groupCheck(g, header, body);
      return { ...g, entries: groupBundles(g, body).flatMap((b) => b.entries) };
    },
    good(c) {
      const got = this.read(c);
      if (c.kind === 'segment') {
        same(got, c, ['ledger', 'number', 'first', 'epoch', 'nonce', 'prev_group']);
        return;
      }
      same(got, c, ['epoch', 'first', 'count', 'bundles', 'synced', 'time', 'prev', 'hash']);
      assert.equal(got.entries.length, c.entries.length);
      got.entries.forEach((e, i) => {
        const wanted = { ...c.entries[i], effectPayload: c.entries[i].effect_payload };
        same(e, wanted, ['index', 'session', 'seq', 'position', 'outcome', 'head', 'effect', 'payload',
          'effectPayload', 'leaf']);
      });
    },
  },
};

// By whatever name, at that record.
subjects.exports = {
  read(c) {
    try {
      return checkExport(fromHex(c.bytes), fromHex(c.broker_key));
    } catch (e) {
      assert.equal(e.record ?? c.record, c.record, e.stack);
      if (e.record !== undefined) assert.match(e.message, new RegExp(`^record ${c.record} at ${c.offset}[,:]`));
      throw new Refusal('BROKEN', e.message);
    }
  },
  good(c) {
    const { counts, signed } = this.read(c);
    assert.deepEqual([signed.size, counts.entries, counts.identities, counts.missing], [c.size, c.entries, c.identities, c.missing]);
  },
};

// A bad case must be refused by that name and, where there are steps, there.
function refused(subject, c) {
  const steps = subject.steps ? subject.steps(c) : { read: () => subject.read(c) };
  for (const [step, run] of Object.entries(steps)) {
    try {
      run();
    } catch (e) {
      assert.equal(e.code, c.refusal, e.stack);
      if (c.step) assert.equal(step, c.step, e.stack);
      if ('field' in c) assert.equal(e.field, c.field);
      return;
    }
  }
  assert.fail('not refused');
}

let passed = 0;
let failed = 0;
for (const [name, subject] of Object.entries(subjects)) {
  const url = new URL(`../../proto/vectors/${name}.json`, import.meta.url);
  const file = JSON.parse(readFileSync(url, 'utf8'));
  for (const [list, run] of [
    ['good', (c) => (subject.good ? subject.good(c) : subject.read(c))],
    ['bad', (c) => refused(subject, c)],
  ]) {
    for (const c of file[list]) {
      try {
        run(c);
        passed++;
      } catch (e) {
        failed++;
        console.log(`${name}, ${list}, ${c.name}: ${e.stack}`);
      }
    }
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
