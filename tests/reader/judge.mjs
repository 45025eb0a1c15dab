// What this reader makes of bytes that may be anything: a line `KIND HEX` in,
// a line with the verdict out. tests/vectors/agree.c holds the C code to the
// same verdicts.
import { readFileSync } from 'node:fs';
import { Cursor, fromHex } from './bytes.mjs';
import { answerItems, checkBundle, openAnswer, openBundle } from './frames.mjs';
import { skip } from './pack.mjs';
import { message, part } from './schema.mjs';

function judge(kind, bytes) {
  if (kind === 'item') {
    const c = new Cursor(bytes);
    skip(c);
    c.end('an item');
  } else if (kind === 'bundle') {
    const ops = checkBundle(openBundle(bytes), ['operation']);
    return `OK ${ops.map((op) => `${op.refusal}:${op.field}`).join(' ')}`;
  } else if (kind === 'answer') {
    answerItems(openAnswer(bytes));
  } else if (['operation', 'broker', 'ask', 'item'].includes(kind.slice(4)) && kind.startsWith('msg-')) {
    message(bytes, [kind.slice(4)]);
  } else {
    part(kind, bytes);
  }
  return 'OK';
}

const out = [];
for (const line of readFileSync(process.argv[2], 'latin1').split('\n')) {
  if (!line) continue;
  const [kind, hex] = line.split(' ');
  try {
    out.push(judge(kind, fromHex(hex)));
  } catch (e) {
    if (!e.code || e.code.startsWith('ERR_')) throw e;
    out.push(e.field ? `${e.code} ${e.field}` : e.code);
  }
}
process.stdout.write(out.join('\n') + '\n');
