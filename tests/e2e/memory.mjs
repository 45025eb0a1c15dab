#!/usr/bin/env node
// Twenty processes remember one thing each in one shared memory, at once; then
// two remember ten each. The way a memory server keeps a file (read all of it,
// add, write all of it, all acknowledged) loses most of them; Choir none.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { broker } from '../support/pipe.mjs';

const tmp = process.env.CHOIR_TMP;
const env = { ...process.env, CHOIR_DATA: `${tmp}/data`, CHOIR_CONFIG: `${tmp}/config` };
const choir = (...args) => execFileSync('choir', args, { env, encoding: 'utf8' }).trim();
let passed = 0, failed = 0;
const check = (what, holds) => { if (holds) passed++; else { failed++; console.log(`FAILED: ${what}`); } };

async function all(commands) {
  const children = commands.map(([command, ...args]) => spawn(command, args, { env, stdio: 'ignore' }));
  const codes = await Promise.all(children.map(async (c) => (await once(c, 'exit'))[0]));
  return codes.filter((code) => code === 0).length;
}
const twenty = Array.from({ length: 20 }, (_, i) => `thing-${i}`);

// The file: every writer has read it before any of them writes.
const file = `${tmp}/memory.json`;
const writer = `
  memory=$(<"$0") memory=\${memory%]}
  : >"$0.$1"
  exec 3<> <(:)
  until there=("$0".*); [ \${#there[@]} -eq 20 ]; do read -rt 0.005 -u 3; done
  printf '%s, "%s"]' "$memory" "$1" >"$0"`;
writeFileSync(file, '["begin"]');
const told = await all(twenty.map((name) => ['bash', '-c', writer, file, name]));
// Writers at once may also leave half of one text behind another: no memory at all.
const parsed = (text) => { try { return JSON.parse(text); } catch { return []; } };
const survivors = parsed(readFileSync(file, 'utf8')).filter((n) => twenty.includes(n)).length;
check('without: all were acknowledged', told === 20);
check(`without: most are lost, ${survivors} of 20 survive`, survivors < 20);

const daemon = await broker(env);
const kept = (key) => JSON.parse(choir('--json', 'get', key)).value_json;
const memories = {
  append: (key, name) => ['choir', '--as', name, 'append', key, name],
  set: (key, name) => ['choir', '--as', name, 'put', '--type', 'json', key, `["${name}"]`],
  merge: (key, name) => ['choir', '--as', name, 'put', '--type', 'json', key, `{"${name}": true}`, '--if-revision', 'BASE'],
};
for (const [rule, command] of Object.entries(memories)) {
  const key = `memory-${rule}`;
  choir('policy', key, rule);
  const base = choir('put', '--type', 'json', key, rule === 'merge' ? '{}' : '[]');
  const done = await all(twenty.map((name) => command(key, name).map((a) => (a === 'BASE' ? base : a))));
  const names = rule === 'merge' ? Object.keys(kept(key)) : kept(key);
  check(`${rule}: 20 writers at once, all acknowledged`, done === 20);
  check(`${rule}: all survive, ${names.length} of 20`, new Set(names).size === 20 && twenty.every((n) => names.includes(n)));
  const script = (who) => twenty.slice(0, 10).map((n) => command(key, `${n}-${who}`).map((a) => (a === 'BASE' ? base : `'${a}'`)).join(' ')).join(' && ');
  const two = await all(['x', 'y'].map((who) => ['sh', '-ec', script(who)]));
  const more = rule === 'merge' ? Object.keys(kept(key)) : kept(key);
  check(`${rule}: two processes, ten each, all acknowledged`, two === 2);
  check(`${rule}: all survive, ${more.length} of 40`, new Set(more).size === 40);
}
console.log(`a file: ${survivors} of 20 survive; append, set, merge: 20 of 20, then 40 of 40`);
daemon.kill('SIGTERM');
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
