#!/usr/bin/env node
// Exports of a ledger in which much has happened to its agents' keys are
// accepted by the second reader, and everything that could be done to them is
// refused for its own reason.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { checkExport, trustedAgents } from '../reader/export.mjs';
import { exportOf } from '../support/exports.mjs';
import { anotherLedger, exporterAttacks, oddities, operatorAttacks } from '../support/exports_attacks.mjs';
import { contextOf, makeScene, stopScene } from '../support/exports_scene.mjs';

const tmp = process.env.CHOIR_TMP;
let passed = 0, failed = 0;
const check = (what, holds, got = '') => { if (holds) passed++; else { failed++; console.log(`FAILED: ${what} ${got}`); } };

const scene = await makeScene(tmp);
await stopScene(scene);
const ctx = contextOf(scene, tmp);
const { ledger, size, by, text } = ctx;
const trusted = trustedAgents(readFileSync(`${tmp}/agents`, 'utf8'));
const pinned = ctx.broker.publicKey;

const refused = (bytes, key = pinned, agents = null) => {
  try {
    checkExport(bytes, key, agents);
    return null;
  } catch (error) {
    if (!error.code || error.code.startsWith('ERR_')) throw error;
    return error.message;
  }
};

const where = (holds) => ledger.entries.filter((e) => holds(e, e.says.fields)).map((e) => e.index);
const plan = where((e, f) => f.key === 'plan');
const task = where((e, f) => f.task === scene.task || e.index === scene.task);
const all = ledger.entries.map((e) => e.index);
const of = (indices, facts, more) => exportOf(ledger, { indices, facts, by, text, size, ...more });
const story = of(plan, { kind: 1, space: 'main', key: 'plan' });
const files = {
  'a key': story,
  'a key without payloads': of(plan, { kind: 1, space: 'main', key: 'plan' }, { leave: 3 }),
  'a task': of(task, { kind: 2, task: scene.task }),
  'a range': of(all.slice(7, 90), { kind: 3, revision: 7, size: 90 }),
  'everything': of(all, { kind: 3, revision: 0, size }),
  'a space': of(where((e, f) => f.space === 'main'), { kind: 4, space: 'main' }),
  'an agent': of(where((e) => e.bundle.agent.equals(ctx.eve.agent)), { kind: 5, holder: ctx.eve.agent }),
  'nothing': of([], { kind: 6 }),
};
for (const [what, bytes] of Object.entries(files)) check(`${what} is accepted`, !refused(bytes), refused(bytes));
check('a value that was merged is in an export', checkExport(files.everything, pinned).counts.payloads > where((e) => e.slots.length).length);
const ends = where((e) => e.says.message === 'revoke').map((i) => ledger.entries[i]).find((e) => e.position + 1 < e.bundle.count);
check('an entry stands behind the end of its own key', ends?.says.fields.public_key.equals(ledger.entries[ends.session].bundle.public_key));
check('trusted agents', !refused(story, pinned, trusted), refused(story, pinned, trusted));
check('no agent is trusted', /who is not trusted/.test(refused(story, pinned, new Set())));
check('an author is not trusted', /said by .*, who is not trusted/.test(refused(files.everything, pinned, trusted)));
const others = (id) => exportOf(ledger, { indices: plan, facts: { kind: 6 }, by: id, text, size });
check('an agent who was revoked exports', /not proven to be its exporter's/.test(refused(others(ctx.eve))));
check('an agent who is not trusted exports', /exported by .*, who is not trusted/.test(refused(others(ctx.mallory), pinned, trusted)));
check('another key is pinned', /not the pinned broker's/.test(refused(story, by.publicKey)));
check('the ledger of another broker is one', !refused(anotherLedger(ctx), null), refused(anotherLedger(ctx), null));
check('and not the pinned one', /not the pinned broker's/.test(refused(anotherLedger(ctx))));

for (const { what, bytes } of oddities(ctx)) check(`${what} is accepted`, !refused(bytes), refused(bytes));
for (const { what, why, bytes } of [...exporterAttacks(ctx, story), ...operatorAttacks(ctx)]) {
  const got = refused(bytes);
  check(`${what} is refused`, got && why.test(got), got);
}

// the command
const file = `${tmp}/story.export`, junk = `${tmp}/junk`;
writeFileSync(file, story);
writeFileSync(junk, 'ada\n');
const says = (code, word, ...args) => {
  const ran = spawnSync(process.execPath, ['tests/reader/export.mjs', ...args], { encoding: 'utf8' });
  const said = ran.stdout + ran.stderr;
  check(`${args.join(' ')} ends with ${code}`, ran.status === code && said.includes(word), `${ran.status}: ${said}`);
};
const key = pinned.toString('hex');
says(0, 'broker key: as pinned', file, '--key', key, '--agents', `${tmp}/agents`);
says(0, 'unknown key', file);
says(1, 'FAILED record 1 at', file, '--key', by.publicKey.toString('hex'));
says(1, 'ENOENT', `${tmp}/none`);
says(2, 'no agent: ada', file, '--agents', junk);
says(1, 'FAILED', file, junk); // one of several
says(2, 'usage');
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
