// Agents as processes: each is a `choir pipe` of its own, spoken to in JSON.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const spoken = new Set();

export class Agent {
  constructor(name, env, args = []) {
    this.name = name;
    this.child = spawn('choir', ['--as', name, ...args, 'pipe'], { env, stdio: ['pipe', 'pipe', 'inherit'] });
    this.child.stdin.on('error', () => {});
    this.waiting = new Map();
    this.events = [];
    this.listeners = [];
    this.last = 0;
    createInterface({ input: this.child.stdout }).on('line', (line) => this.hear(JSON.parse(line)));
    spoken.add(this);
  }

  hear(said) {
    const answer = this.waiting.get(said.id);
    if (!said.event && answer) {
      this.waiting.delete(said.id);
      answer(said);
      return;
    }
    this.events.push(said);
    for (const listen of this.listeners.splice(0)) listen();
  }

  // One request; its answer.
  say(op, fields = {}) {
    return this.sayAtOnce([[op, fields]])[0];
  }

  // Several, so that they may share a bundle; their answers.
  sayAtOnce(requests) {
    const first = this.last + 1;
    this.last += requests.length;
    this.child.stdin.write(requests.map(([op, fields], i) => JSON.stringify({ id: first + i, op, ...fields }) + '\n').join(''));
    return requests.map((_, i) => new Promise((answer) => this.waiting.set(first + i, answer)));
  }

  // The next event of that name, now or later.
  async next(event) {
    for (;;) {
      const i = this.events.findIndex((e) => e.event === event);
      if (i >= 0) return this.events.splice(i, 1)[0];
      await new Promise((go) => this.listeners.push(go));
    }
  }

  // A task of that queue: {task, token}, to be added to what is said under it.
  async take(queue) {
    await this.say('work', { queue });
    const { task, token, value } = await this.next('task');
    return { lease: { task, token }, value };
  }

  kill(signal) { this.child.kill(signal); }
  end() { this.child.stdin.end(); spoken.delete(this); }
}

export function endAll() {
  for (const agent of spoken) agent.kill('SIGKILL');
}

// A broker in a directory of its own; resolves when it is ready.
export async function broker(env, ...more) {
  const child = spawn('choird', ['--data', env.CHOIR_DATA, '--listen', 'tcp://127.0.0.1:*', ...more],
    { env, stdio: ['ignore', 'ignore', 'pipe'] });
  const lines = createInterface({ input: child.stderr });
  await new Promise((go, no) => {
    lines.on('line', (line) => line.includes('event=ready') && go());
    child.on('exit', () => no(new Error('choird did not start')));
  });
  return child;
}
