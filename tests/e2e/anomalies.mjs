#!/usr/bin/env node
// What goes wrong when agents share a memory, one line each: the same script
// without the mechanism, which shows the damage, and with it, which does not.
import { execFileSync } from 'node:child_process';
import { Agent, broker, endAll } from '../support/pipe.mjs';

const tmp = process.env.CHOIR_TMP;
const env = { ...process.env, CHOIR_DATA: `${tmp}/data`, CHOIR_CONFIG: `${tmp}/config` };
const choir = (...args) => execFileSync('choir', args, { env, encoding: 'utf8' }).trim();
const daemon = await broker(env);
const ada = new Agent('ada', env), bob = new Agent('bob', env), judge = new Agent('judge', env);
const value = async (key) => (await judge.say('get', { key })).value;
const json = async (key) => (await judge.say('get', { key })).value_json;

// Two workers, each with a task of its own, who have not said anything yet.
let queues = 0;
async function twoTasks(more = {}) {
  const queue = `q${queues++}`;
  for (const name of ['one', 'two']) await judge.say('submit', { queue, value: name, ...more });
  const a = await ada.take(queue), b = await bob.take(queue);
  return [a.lease, b.lease];
}

async function lostUpdate(key, guarded) {
  await judge.say('put', { key, value: 'list:' });
  const seen = await Promise.all([ada, bob].map((x) => x.say('get', { key })));
  const write = (x, base, add) => x.say('put', { key, value: base.value + add, ...(guarded ? { if_revision: base.revision } : {}) });
  await write(ada, seen[0], ' ada');
  let r = await write(bob, seen[1], ' bob');
  if (r.outcome === 'CONFLICT') r = await write(bob, await bob.say('get', { key }), ' bob');
  return await value(key);
}

// Two on call; each may leave only while the other stays.
async function writeSkew(space, guarded) {
  for (const who of ['a', 'b']) await judge.say('put', { key: `${space}/${who}`, value: 'on call' });
  const leases = await twoTasks();
  const leave = async (x, lease, me) => {
    for (const who of ['a', 'b']) await x.say('get', { key: `${space}/${who}`, ...(guarded ? lease : {}) });
    return () => x.say('complete', { ...lease, value: 'left', writes: [{ key: `${space}/${me}`, value: 'off' }] });
  };
  const done = [await leave(ada, leases[0], 'a'), await leave(bob, leases[1], 'b')];
  const outcomes = [(await done[0]()).outcome, (await done[1]()).outcome];
  const left = (await Promise.all(['a', 'b'].map((who) => value(`${space}/${who}`)))).filter((v) => v === 'on call');
  return { outcomes, left: left.length };
}

async function phantom(space, guarded) {
  const leases = await twoTasks();
  const book = async (x, lease, who) => {
    const free = (await x.say('list', { prefix: `${space}/`, ...(guarded ? lease : {}) })).items.length === 0;
    return () => free && x.say('complete', { ...lease, value: 'booked', writes: [{ key: `${space}/${who}`, value: 'the room' }] });
  };
  const done = [await book(ada, leases[0], 'ada'), await book(bob, leases[1], 'bob')];
  const outcomes = [(await done[0]()).outcome, (await done[1]()).outcome];
  return { outcomes, bookings: (await judge.say('list', { prefix: `${space}/` })).items.length };
}

async function staleCompletion(key, guarded) {
  await judge.say('put', { key, value: 'plan one' });
  const [lease] = await twoTasks();
  const plan = await ada.say('get', { key, ...(guarded ? lease : {}) });
  await judge.say('put', { key, value: 'plan two' });
  const r = await ada.say('complete', { ...lease, value: `made from ${plan.value}` });
  return { outcome: r.outcome, moved: r.effect?.items?.map((i) => i.key) };
}

// A worker is stopped in the middle, its lease runs out, and it wakes up.
async function zombie(key, act) {
  const queue = `q${queues++}`, slow = new Agent('slow', env);
  await judge.say('submit', { queue, value: 'x', lease_ms: 1000, backoff_ms: 1 });
  const { lease } = await slow.take(queue);
  slow.kill('SIGSTOP');
  const again = await bob.take(queue);
  await bob.say('append', { key: `${key}/log`, value_json: 'bob', ...again.lease });
  await bob.say('complete', { ...again.lease, value: 'by bob', writes: [{ key, value: 'by bob' }] });
  slow.kill('SIGCONT');
  const r = await act(slow, lease);
  slow.end();
  return { outcome: r.outcome, value: await value(key), log: await json(`${key}/log`) };
}

async function twoEdits(key, edits, guarded) {
  if (guarded) choir('policy', key, 'merge');
  const base = await judge.say('put', { key, value_json: { title: 'a', body: 'b' } });
  const write = (x, edit) => x.say('put', { key, value_json: { title: 'a', body: 'b', ...edit }, ...(guarded ? { if_revision: base.revision } : {}) });
  const outcomes = [(await write(ada, edits[0])).outcome, (await write(bob, edits[1])).outcome];
  return { outcomes, value: await json(key) };
}

// What a three-way merge makes of a base that it takes for empty.
const mergeOnNothing = (theirs, yours) => ({ ...theirs, ...yours });
async function nullBase(key, guarded) {
  if (guarded) choir('policy', key, 'merge');
  const base = await judge.say('put', { key, value_json: { secret: 'x', body: 'b' } });
  const now = await judge.say('put', { key, value_json: { body: 'b' }, if_revision: base.revision }); // the secret is taken out
  const yours = { secret: 'x', body: 'better' };
  if (!guarded) {
    await ada.say('put', { key, value_json: mergeOnNothing(await json(key), yours) });
    return { value: await json(key) };
  }
  choir('compact', '--at', String(now.revision));
  const r = await ada.say('put', { key, value_json: yours, if_revision: base.revision });
  return { outcome: r.outcome, explain: r.explain, value: await json(key) };
}

const rows = [
  ['lost update', async () => [!(await lostUpdate('lu/0', false)).includes('ada'), "ada's addition is gone"],
    async () => [await lostUpdate('lu/1', true) === 'list: ada bob', 'both are there']],
  ['write skew through a read set', async () => [(await writeSkew('ws0', false)).left === 0, 'nobody is on call'],
    async () => { const r = await writeSkew('ws1', true); return [r.left === 1 && r.outcomes.join() === 'OK,STALE', 'the second is STALE']; }],
  ['phantom through a listing', async () => [(await phantom('ph0', false)).bookings === 2, 'the room is booked twice'],
    async () => { const r = await phantom('ph1', true); return [r.bookings === 1 && r.outcomes.join() === 'OK,STALE', 'the second is STALE']; }],
  ['stale completion', async () => [(await staleCompletion('st/0', false)).outcome === 'OK', 'made from the old plan, and taken'],
    async () => { const r = await staleCompletion('st/1', true); return [r.outcome === 'STALE' && r.moved.join() === 'st/1', 'STALE, and which key moved']; }],
  ['zombie worker after expiry',
    async () => [(await zombie('z/0', (x) => x.say('put', { key: 'z/0', value: 'by the zombie' }))).value === 'by the zombie', 'it overwrites the result'],
    async () => { const r = await zombie('z/1', (x, lease) => x.say('put', { key: 'z/1', value: 'by the zombie', ...lease })); return [r.outcome === 'FENCED' && r.value === 'by bob', 'FENCED']; }],
  ['double completion',
    async () => [(await zombie('d/0', (x) => x.say('append', { key: 'd/0/log', value_json: 'slow' }))).log.length === 2, 'the work is done twice'],
    async () => { const r = await zombie('d/1', (x, lease) => x.say('complete', { ...lease, value: 'again', writes: [{ key: 'd/1', value: 'again' }] })); return [r.outcome === 'FENCED' && r.value === 'by bob' && r.log.length === 1, 'FENCED, done once']; }],
  ['merge of disjoint edits',
    async () => [(await twoEdits('me/0', [{ title: 'A' }, { body: 'B' }], false)).value.title === 'a', 'the title is as before'],
    async () => { const r = await twoEdits('me/1', [{ title: 'A' }, { body: 'B' }], true); return [r.outcomes.join() === 'OK,OK' && r.value.title === 'A' && r.value.body === 'B', 'both are there']; }],
  ['merge of clashing edits',
    async () => [(await twoEdits('mc/0', [{ title: 'A' }, { title: 'B' }], false)).value.title === 'B', "ada's title is gone"],
    async () => { const r = await twoEdits('mc/1', [{ title: 'A' }, { title: 'B' }], true); return [r.outcomes.join() === 'OK,CONFLICT' && r.value.title === 'A', 'CONFLICT, nothing is lost']; }],
  ['null base after compaction',
    async () => [(await nullBase('nb/0', false)).value.secret === 'x', 'what was taken out is back'],
    async () => { const r = await nullBase('nb/1', true); return [r.outcome === 'CONFLICT' && /no longer kept/.test(r.explain) && !('secret' in r.value), 'CONFLICT: the base is no longer kept']; }],
];

let passed = 0, failed = 0;
for (const [name, without, withIt] of rows) {
  const damage = await without(), kept = await withIt();
  for (const [holds] of [damage, kept]) if (holds) passed++; else failed++;
  console.log(`${damage[0] && kept[0] ? 'ok  ' : 'FAILED:'} ${name.padEnd(32)} without: ${damage[1].padEnd(36)} with: ${kept[1]}`);
}
endAll();
daemon.kill('SIGTERM');
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
