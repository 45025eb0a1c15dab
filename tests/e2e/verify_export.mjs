#!/usr/bin/env node
// `choir verify` and the second reader say the same of every export: of good
// ones, and of all that could be done to them, where it goes wrong.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { checkExport, trustedAgents } from '../reader/export.mjs';
import { exportOf } from '../support/exports.mjs';
import { anotherLedger, exporterAttacks, oddities, operatorAttacks } from '../support/exports_attacks.mjs';
import { contextOf, makeScene, stopScene } from '../support/exports_scene.mjs';

const tmp = process.env.CHOIR_TMP;
let passed = 0, failed = 0;
const check = (what, holds, got = '') => { if (holds) passed++; else { failed++; console.log(`FAILED: ${what}: ${got}`); } };

const scene = await makeScene(tmp);
await stopScene(scene);
const ctx = contextOf(scene, tmp);
const { ledger, size, by, text } = ctx;
const key = ctx.broker.publicKey.toString('hex');
const file = `${tmp}/x.export`;

const verify = (bytes, args = ['--key', key]) => {
  writeFileSync(file, bytes);
  const ran = spawnSync('choir', ['verify', '--json', file, ...args], { encoding: 'utf8' });
  return { ...ran, says: ran.stdout ? JSON.parse(ran.stdout) : {} };
};
const where = (holds) => ledger.entries.filter((e) => holds(e, e.says.fields)).map((e) => e.index);
const plan = where((e, f) => f.key === 'plan');
const all = ledger.entries.map((e) => e.index);
const of = (indices, facts, more) => exportOf(ledger, { indices, facts, by, text, size, ...more });
const story = of(plan, { kind: 1, space: 'main', key: 'plan' });
const everything = of(all, { kind: 3, revision: 0, size });
const files = {
  key: story,
  task: of(where((e, f) => f.task === scene.task || e.index === scene.task), { kind: 2, task: scene.task }),
  range: of(all.slice(7, 90), { kind: 3, revision: 7, size: 90 }),
  space: of(where((e, f) => f.space === 'main'), { kind: 4, space: 'main' }, { leave: 3 }),
  agent: of(where((e) => e.bundle.agent.equals(ctx.eve.agent)), { kind: 5, holder: ctx.eve.agent }),
  entries: of([], { kind: 6 }),
};
for (const [kind, bytes] of Object.entries(files)) {
  const { status, says, stderr } = verify(bytes);
  const { counts } = checkExport(bytes, ctx.broker.publicKey);
  check(`an export of ${kind} is proven`, status === 0 && says.ok && says.pinned, stderr);
  check(`it is of ${kind}`, says.selection?.kind === kind, says.selection?.kind);
  check(`both count alike in ${kind}`,
    says.counts?.entries === counts.entries && says.counts.identities === counts.identities &&
    says.counts.payloads === counts.payloads &&
    says.counts.erased + says.counts.compacted + says.counts.left_out === counts.missing, JSON.stringify(says.counts));
}

for (const { what, bytes } of oddities(ctx)) check(`${what} is accepted`, verify(bytes).status === 0, verify(bytes).stderr);

// Both name the same record at the same byte.
for (const { what, bytes } of [...exporterAttacks(ctx, story), ...operatorAttacks(ctx)]) {
  const { status, says, stderr } = verify(bytes);
  let second = 'accepted';
  try { checkExport(bytes, ctx.broker.publicKey); } catch (error) { second = error.message; }
  if (bytes.subarray(0, 4).toString() !== 'CHE1') {
    check(`${what} is no export`, status === 2, stderr);
    continue;
  }
  check(`${what} is refused`, status === 4 && says.ok === false && !!says.why, `${status} ${stderr}`);
  const at = /^record (\d+) at (\d+)(?:, entry (\d+))?/.exec(second);
  check(`${what}, in the same place`, !at || (+at[1] === says.record && +at[2] === says.offset), `${stderr} | ${second}`);
  check(`${what}, of the same entry`, !at?.[3] || says.entry === undefined || +at[3] === says.entry, `${stderr} | ${second}`);
}

// Whom one trusts, and what one pins.
const agents = `${tmp}/agents`;
const trusted = trustedAgents(readFileSync(agents, 'utf8'));
check('there are agents to trust', trusted.size > 0);
check('a trusted author', verify(story, ['--key', key, '--agents', agents]).says.trusted === true);
check('an author who is not trusted', /not an agent you trust/.test(verify(everything, ['--key', key, '--agents', agents]).says.why));
const none = `${tmp}/nobody`;
writeFileSync(none, `# nobody\n\n${ctx.stranger.agent.toString('hex')}  a stranger\n`);
check('an exporter who is not trusted', /exporter is not|author is not/.test(verify(story, ['--key', key, '--agents', none]).says.why));
for (const [what, lines] of [['an id too short', 'abc\n'], ['an id too long', `${'a'.repeat(65)}\n`], ['nobody', '# nobody\n']]) {
  writeFileSync(none, lines);
  check(`${what} among the agents is wrong usage`, verify(story, ['--key', key, '--agents', none]).status === 2);
}
check('a file of agents that is not there', verify(story, ['--key', key, '--agents', `${tmp}/not-there`]).status === 2);
check('another key is pinned', verify(story, ['--key', by.publicKey.toString('hex')]).status === 4);
const unpinned = verify(story, []);
check('no key is pinned', unpinned.status === 0 && unpinned.says.pinned === false);
check("another broker's", verify(anotherLedger(ctx), []).says.pinned === false);
check("another broker's, pinned", verify(anotherLedger(ctx)).status === 4);

// For a person; from standard input; cut off.
const told = (args, input) => spawnSync('choir', ['verify', ...args], { encoding: 'utf8', input });
const said = told(['-', '--key', key], story);
check('it says what it proved', said.status === 0 && /OK: proven, signed by the pinned key/.test(said.stdout) && /of key plan in space main/.test(said.stdout), said.stdout);
check('it does not call proven what is not pinned', /^OK: consistent, signed by unknown key/m.test(told(['-'], story).stdout));
check('it says whom to trust', /they are in/.test(told(['-', '--key', key, '--agents', agents], story).stdout));
const shown = told(['-', '--key', key, '--show'], story);
check('it shows who said what, and when', shown.status === 0 && /^ +\d+  \d{4}-\d\d-\d\dT\S+  ada  put  plan  OK\n    \S/m.test(shown.stdout), shown.stdout);
check('a line an entry, and the verdict last', (() => {
  const lines = told(['-', '--key', key, '--show', '--json'], story).stdout.trim().split('\n').map((l) => JSON.parse(l));
  const verdict = lines.pop();
  return verdict.ok && lines.length === verdict.counts.entries && lines.every((l) => l.revision >= 0 && l.agent && l.verb && l.outcome);
})());
const forged = Buffer.from(story);
forged[forged.length - 1] ^= 1;
check('nothing is shown that is not proven', told(['-', '--key', key, '--show'], forged).stdout === '');
check('entries are shown of exports alone', told([tmp, '--show']).status === 2);
const cut = told(['-', '--key', key], story.subarray(0, story.length - 1));
check('it says where it is cut off', cut.status === 4 && /^BROKEN: record \d+, byte \d+: it is cut off/m.test(cut.stderr), cut.stderr);
check('nothing is no export', told(['-'], '').status === 4);
check('agents are of exports alone', told([tmp, '--agents', agents]).status === 2);
check('there is no such file', told([`${tmp}/no.export`]).status === 2);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
