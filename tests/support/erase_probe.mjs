// An agent that puts one value after the other, one each few milliseconds, and
// tells how long each took, in ms.
import { parentPort, workerData } from 'node:worker_threads';
import { Agent } from './pipe.mjs';

const agent = new Agent(workerData.name, workerData.env);
const times = [];
let over = false;
parentPort.on('message', () => { over = true; });
await agent.say('put', { key: 'probe', value: 'x' });
while (!over || times.length < 20) {
  const began = performance.now();
  const answer = await agent.say('put', { key: `probe/${times.length % 100}`, value: 'x' });
  if (answer.outcome && answer.outcome !== 'OK') throw new Error(JSON.stringify(answer));
  times.push(performance.now() - began);
  await new Promise((go) => setTimeout(go, 5));
}
agent.end();
parentPort.postMessage(times);
parentPort.close();
