// A ledger in which much has happened to its agents' keys, and everything that
// an export may show: what the tests of exports start from.
import { execFileSync } from 'node:child_process';
import { copyFileSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { Agent, broker as start } from './pipe.mjs';
import { identityAt, noteOf, readLedger, rootOf } from './exports.mjs';
import { stranger } from './exports_attacks.mjs';

// Until these words stand nowhere in the record, ten seconds at most.
async function untilGone(dir, words) {
  const holds = (name) => {
    try {
      const bytes = readFileSync(`${dir}/${name}`);
      return words.some((w) => bytes.includes(w));
    } catch {
      return true; // it is being exchanged
    }
  };
  for (let i = 0; readdirSync(dir).some((n) => n.startsWith('segment-') && holds(n)); i++) {
    if (i === 500) throw new Error(`${words} are still there`);
    await new Promise((go) => setTimeout(go, 20));
  }
}

// Leaves a broker running; what it is told through is `choir`.
export async function makeScene(tmp) {
  const env = { ...process.env, CHOIR_DATA: `${tmp}/data`, CHOIR_CONFIG: `${tmp}/config` };
  for (const name of ['CHOIR_URL', 'CHOIR_AS', 'CHOIR_SPACE', 'CHOIR_IDENTITY', 'CHOIR_SOCKET']) delete env[name];
  const choir = (...args) => execFileSync('choir', args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 28 });
  const as = (name, ...args) => choir('--as', name, ...args);
  const file = (name) => `${env.CHOIR_CONFIG}/${readdirSync(env.CHOIR_CONFIG).find((n) => n.startsWith(`${name}@`) && n.endsWith('.identity'))}`;
  const scene = { env, choir, as, file, broker: await start(env) };

  as('ada', 'put', 'plan', 'build a boat');
  as('bob', 'put', 'plan', 'build two boats');
  as('bob', 'put', 'notes/wood', 'oak');
  as('eve', 'put', 'notes/eve', 'was here');
  as('mallory', 'put', 'notes/mallory', 'was here');
  copyFileSync(file('ada'), `${tmp}/ada-first.identity`);
  as('ada', 'key', 'rotate');
  as('ada', 'put', 'plan', 'build a boat, with a new key');
  as('bob', 'key', 'add', `${tmp}/bob-second.identity`);
  choir('--identity', `${tmp}/bob-second.identity`, 'put', 'notes/rope', 'hemp');
  as('bob', 'key', 'revoke', identityAt(`${tmp}/bob-second.identity`).publicKey.toString('hex'));
  as('carol', 'put', 'notes/sail', 'linen');
  as('carol', 'key', 'recovery', `${tmp}/away.identity`);
  copyFileSync(file('carol'), `${tmp}/carol-first.identity`);
  as('carol', 'key', 'recover', `${tmp}/away.identity`, choir('invite').trim());
  as('carol', 'put', 'plan', 'build a boat, recovered');
  scene.revoked = Number(choir('revoke', 'eve'));
  choir('suspect', 'carol', as('carol', 'put', 'notes/sail', 'stolen').trim(), '--reason', 'a laptop was stolen');

  // what is no longer there
  const erased = as('ada', 'put', '--space', 'drafts', 'draft', 'a word that was erased').trim();
  as('ada', 'put', '--space', 'drafts', 'draft', 'a word that was compacted');
  const stayed = as('ada', 'put', '--space', 'drafts', 'draft', 'a word that stayed').trim();
  choir('erase', '--space', 'drafts', `draft@${erased}`);
  choir('compact', '--space', 'drafts', '--at', stayed);
  await untilGone(env.CHOIR_DATA, ['word that was erased', 'word that was compacted']);

  // a task: claimed, progress, written under the lease, completed
  const ada = new Agent('ada', env), bob = new Agent('bob', env);
  choir('policy', 'shared/', 'counter');
  await ada.say('incr', { key: 'shared/planks', value: 3 });
  await bob.say('incr', { key: 'shared/planks', value: 4 });
  scene.task = (await ada.say('submit', { queue: 'jobs', value: 'saw the planks' })).revision;
  const { lease } = await bob.take('jobs');
  await bob.say('put', { key: 'planks', value: 'sawn', ...lease });
  await bob.say('progress', { value: 'half', ...lease });
  await bob.say('complete', { value: 'done', writes: [{ key: 'plan', value: 'planks are there' }], ...lease });
  // one bundle of many
  const all = Array.from({ length: 40 }, (_, i) => ada.say('put', { key: `many/${i % 8}`, value: `value ${i}` }));
  await Promise.all(all);
  // A bundle whose key ends in it: what stands behind is heard, too. On a busy
  // machine the three may be parted: then there is no entry of the last one, and
  // another agent says it all again.
  for (let n = 0, entries = 0; entries !== 6 && n < 20; n++) {
    const name = `dan-${n}`, dan = new Agent(name, env);
    await dan.say('put', { key: 'notes/dan', value: 'is here' });
    const dans = identityAt(file(name));
    const revoke = { agent: dans.agent.toString('hex'), public_key: dans.publicKey.toString('hex') };
    await Promise.all(dan.sayAtOnce([['put', { key: 'notes/dan', value: 'was' }], ['revoke', revoke], ['put', { key: 'notes/dan', value: 'here' }]]));
    dan.end();
    entries = JSON.parse(choir('export', '--agent', name, '--output', `${tmp}/dans.export`, '--json')).entries;
  }
  for (const agent of [ada, bob]) agent.end();
  writeFileSync(`${tmp}/agents`, `# may export, and have said what is exported\n${[...['ada', 'bob', 'carol'].map(file), `${env.CHOIR_DATA}/admin.identity`].map(identityAt).map((i) => `${i.agent.toString('hex')}  ${i.name}`).join('\n')}\n`);
  return scene;
}

export async function stopScene({ broker }) {
  broker.kill('SIGTERM');
  if (broker.exitCode === null && broker.signalCode === null) await once(broker, 'exit');
}

// What there is to know about the ledger of a scene whose broker has stopped:
// what attacks need. Without `text` the tree head is made with the broker's key.
export function contextOf(scene, tmp) {
  const ledger = readLedger(`${tmp}/data`);
  const broker = identityAt(`${tmp}/data/broker.identity`);
  const [by, mallory, eve] = ['ada', 'mallory', 'eve'].map((name) => identityAt(scene.file(name)));
  const first = identityAt(`${tmp}/ada-first.identity`);
  const size = ledger.entries.length;
  const said = (verb, agent) => ledger.entries.filter((e) => e.says.message === verb && e.bundle.agent.equals(agent.agent)).map((e) => e.index);
  const sessions = said('session_open', by);
  const put = said('put', by).at(-1);
  const [rotated] = said('rotate', by), [enrolled] = said('enrol', by);
  const closed = said('session_close', by).find((i) => i > rotated);
  return {
    ledger, size, broker, by, mallory, eve, first, stranger: stranger(), enrolled, rotated,
    text: noteOf(broker, { ledger: ledger.id, size, root: rootOf(ledger.entries), epoch: ledger.epoch }),
    put,
    between: said('put', by)[0],
    session: ledger.entries[put].session,
    firstSession: sessions.filter((s) => s < rotated).at(-1),
    closed: [ledger.entries[closed].session, closed],
  };
}

// The exports that are attacked, all by ada, who may tap; while the broker runs.
export function exportsOf(scene, tmp) {
  const { choir, as, task, revoked } = scene;
  choir('grant', 'ada', 'read,write,submit,work,tap');
  return [
    ['a key', 'plan'],
    ['a key without payloads', 'plan', '--no-payloads'],
    ['a key with gaps in its past', 'draft', '--space', 'drafts'],
    ['a sum', 'shared/planks'],
    ['a task', '--task', `${task}`],
    ['a range', '--range', `${revoked - 3}..${revoked + 2}`],
    ['an agent', '--agent', 'carol'],
    ['an entry', `${task}`],
  ].map(([name, ...args]) => {
    as('ada', 'export', ...args, '--output', `${tmp}/x.export`);
    return { name, bytes: readFileSync(`${tmp}/x.export`) };
  });
}
