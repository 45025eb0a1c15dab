#!/usr/bin/env node
// The same agent as agent.py, in JavaScript (Node 18 or later, nothing else):
// takes a document, finds its terms, puts them into the shared index.
//
//     agent.mjs choir     shares through Choir: `choir pipe`, one JSON a line
//     agent.mjs DIR       shares two plain JSON files in DIR, as people do
import { spawn } from 'node:child_process';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const QUEUES = ['index', 'xref'];
const THINK_MS = Number(process.env.DEMO_THINK_MS ?? 80);

const say = (...what) => writeFileSync(1, what.join(' ') + '\n');

// ---- what it finds: the rules of words.py ---------------------------------

const GAP = /\xc2[\x80-\xbf]|\xe2[\x80\x81][\x80-\xbf]|\xe3\x80[\x80-\xbf]/g;
const WORD = /[A-Za-z0-9_\x80-\xff]+/g;
const STOP = new Set(
  readFileSync(new URL('stopwords', import.meta.url), 'latin1').split(/\s+/));

const lower = (s) => s.replace(/[A-Z]+/g, (x) => x.toLowerCase());
const byBytes = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b));

function termsOf(bytes) {
  const found = new Map();
  bytes.toString('latin1').split('\n').forEach((line, i) => {
    for (let word of line.replace(GAP, ' ').match(WORD) ?? []) {
      word = lower(word);
      if (word.length < 4 || word.length > 40 || /^[0-9_]/.test(word) ||
          STOP.has(word)) continue;
      const term = found.get(word) ?? { word, count: 0, lines: [] };
      found.set(word, term);
      term.count++;
      if (term.lines.length < 5 && term.lines.at(-1) !== i + 1)
        term.lines.push(i + 1);
    }
  });
  const best = [...found.values()].sort(
    (a, b) => b.count - a.count || (a.word < b.word ? -1 : 1)).slice(0, 16);
  return new Map(best.map((t) => [
    Buffer.from(t.word, 'latin1').toString(), t.lines.join(',')]));
}

function entries(value) {
  return new Map((value ?? '').split('\n').filter(Boolean).map((line) => {
    const cut = line.lastIndexOf(':');
    return [line.slice(0, cut), line.slice(cut + 1)];
  }));
}

function merge(value, doc, lines) {
  const all = entries(value).set(doc, lines);
  return [...all.keys()].sort(byBytes)
    .map((d) => `${d}:${all.get(d)}\n`).join('');
}

function related(doc, index) {
  const others = new Map();
  for (const [term, value] of index) {
    const docs = entries(value);
    for (const name of docs.keys()) {
      if (name === doc) continue;
      const other = others.get(name) ?? { name, weight: 0, why: [] };
      others.set(name, other);
      other.weight += Math.floor(5040 / docs.size);
      other.why.push({ docs: docs.size, term });
    }
  }
  return [...others.values()]
    .sort((a, b) => b.weight - a.weight || byBytes(a.name, b.name)).slice(0, 3)
    .map(({ name, why }) => `${name}: ${why
      .sort((a, b) => a.docs - b.docs || byBytes(a.term, b.term))
      .slice(0, 3).map((w) => w.term).join(', ')}\n`).join('');
}

// ---- what it does ----------------------------------------------------------

async function run(store) {
  for (let task; (task = await store.take());) {
    const { queue, doc } = task;
    say('took', queue, doc);
    const found = termsOf(readFileSync(doc));
    const keys = [...found.keys()].map((term) => 'index/' + term);
    const seen = await store.read(keys);
    await sleep(THINK_MS); // stands for the model, which takes longer
    for (;;) {
      const result = new Map();
      if (queue === 'index')
        for (const [term, at] of found)
          result.set('index/' + term,
            merge(seen.get('index/' + term), doc, at));
      else
        result.set('xref/' + doc, related(doc,
          keys.map((k) => [k.slice(6), seen.get(k)])));
      const stale = await store.finish(task, result);
      if (!stale.length) break;
      say('again', queue, doc);
      for (const [k, v] of await store.read(stale)) seen.set(k, v);
    }
  }
}

// ---- the shared state as two JSON files ------------------------------------

const load = (path) => JSON.parse(readFileSync(path, 'utf8'));
function save(path, value) {
  const mine = `${path}.${process.pid}`;
  writeFileSync(mine, JSON.stringify(value, null, 1));
  renameSync(mine, path);
}

class Files {
  constructor(folder) {
    this.todo = folder + '/todo.json';
    this.notes = folder + '/notes.json';
  }

  async take() {
    for (;;) {
      const todo = load(this.todo);
      for (const queue of QUEUES)
        for (const [doc, state] of Object.entries(todo[queue]))
          if (state === 'todo') {
            todo[queue][doc] = 'taken';
            save(this.todo, todo);
            return { queue, doc };
          }
      if (todo.closed) return null;
      await sleep(20);
    }
  }

  async read(keys) {
    this.seen = load(this.notes);
    return new Map(keys.map((k) => [k, this.seen[k]]));
  }

  async finish({ queue, doc }, result) {
    Object.assign(this.seen, Object.fromEntries(result));
    save(this.notes, this.seen);
    const todo = load(this.todo);
    todo[queue][doc] = 'done';
    save(this.todo, todo);
    say('did', queue, doc);
    return [];
  }
}

// ---- the shared state in Choir ---------------------------------------------

class Choir {
  constructor() {
    this.number = 0;
    this.asked = new Map();
    this.tasks = [];
    this.revision = new Map();
    this.pipe = spawn('choir', ['pipe'],
      { stdio: ['pipe', 'pipe', 'inherit'] });
    this.pipe.on('close', (code) => process.exit(code ?? 1));
    createInterface({ input: this.pipe.stdout }).on('line', (line) => {
      const said = JSON.parse(line);
      if (said.event === 'task') {
        this.tasks.push(said);
        this.wake?.();
      } else if ('outcome' in said) {
        this.asked.get(said.id)?.(said);
        this.asked.delete(said.id);
      }
    });
    for (const queue of QUEUES) this.ask({ op: 'work', queue, credit: 1 });
  }

  ask(request) {
    const id = ++this.number;
    this.pipe.stdin.write(JSON.stringify({ id, ...request }) + '\n');
    return new Promise((resolve) => this.asked.set(id, resolve));
  }

  async take() {
    while (!this.tasks.length)
      await new Promise((resolve) => { this.wake = resolve; });
    const task = this.tasks.shift();
    return { ...task, doc: task.value };
  }

  async read(keys) {
    const said = await Promise.all(
      keys.map((key) => this.ask({ op: 'get', key })));
    said.forEach((s, i) => this.revision.set(keys[i], s.revision ?? 0));
    this.restsOn = keys;
    return new Map(said.map((s, i) => [keys[i], s.value]));
  }

  async finish({ queue, doc, task, token }, result) {
    const said = await this.ask({
      op: 'complete', task, token,
      compares: this.restsOn.map((key) => (
        { key, revision: this.revision.get(key) })),
      writes: [...result].map(([key, value]) => ({ key, value })),
    });
    if (said.outcome === 'CONFLICT') return this.restsOn;
    say(said.outcome === 'OK' ? 'did' : said.outcome, queue, doc);
    return [];
  }
}

const where = process.argv[2];
await run(where === 'choir' ? new Choir() : new Files(where));
