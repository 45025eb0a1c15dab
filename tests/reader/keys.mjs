// Whose key is whose, and until when: learned from accepted entries in order,
// as "Bundles and who may say them" of docs/ledger-format.md says.
//
// A ledger l has `id`, `agents` and `sessions`. What ends at an entry E holds
// for bundles that begin up to E: the rest of its own bundle was still heard.
import { malformed } from './bytes.mjs';
import { agentId, checkSignature } from './trust.mjs';

const hex = (b) => b.toString('hex');
const never = Infinity;

export const firstOfBundle = (e) => e.index - e.position;
export const agentOf = (l, id) => l.agents.get(hex(id));

// May that key speak for that agent in a bundle that begins at `first`?
export const speaks = (agent, key, first) => agent.revoked >= first && (agent.keys.get(hex(key)) ?? -1) >= first;
// May it take the agent back?
export const recovers = (agent, key, first) => agent.revoked >= first && agent.recovery?.equals(key) === true;

function admit(l, id, key) {
  if (!agentId(key).equals(id)) malformed('an agent whose id is not the hash of its key');
  if (agentOf(l, id)) malformed('an agent enrolled twice');
  l.agents.set(hex(id), { keys: new Map([[hex(key), never]]), revoked: never });
}

// A new key says itself whose it is.
function claim(l, id, f) {
  const agent = agentOf(l, id);
  if (f.recovery_key) agent.recovery = f.recovery_key;
  if (!f.public_key) return;
  if (!f.curve_key || !f.signature || agent.keys.has(hex(f.public_key))) malformed('a key taken twice, or without its own word');
  checkSignature('key', f.public_key, l.id, Buffer.concat([id, f.public_key, f.curve_key]), f.signature);
  agent.keys.set(hex(f.public_key), never);
}

function end(map, key, at) {
  if (map.get(key) === never) map.set(key, at);
}

// The whole record holds every session; of an export's some were left out.
function endSession(l, id, at) {
  const s = l.sessions.get(id);
  if (!s && !l.partial) malformed(`session ${id} was never opened`);
  if (s) s.over = Math.min(s.over, at);
}

const lessons = {
  admit: (l, e, f) => admit(l, f.agent, f.public_key),
  enrol(l, e, f, key) {
    if (!f.public_key.equals(key)) malformed('enrols another key');
    admit(l, e.bundle.agent, key);
  },
  session_open(l, e, f, key) {
    const { agent, hash, session } = e.bundle;
    const known = agentOf(l, agent);
    if (session !== 0 || !known || !speaks(known, key, firstOfBundle(e))) malformed('a session of one who may open none');
    l.sessions.set(e.index, { agent, key, next: 1, prev: hash, over: never });
  },
  session_close: (l, e) => endSession(l, e.bundle.session, e.index),
  session_end: (l, e, f) => endSession(l, f.session, e.index),
  equivocate: (l, e, f) => endSession(l, f.session, e.index),
  rotate(l, e, f, key) {
    if (!e.bundle.session) malformed('a rotation outside a session');
    if (f.public_key && f.kind !== 2) end(agentOf(l, e.bundle.agent).keys, hex(key), e.index);
    claim(l, e.bundle.agent, f);
  },
  recover(l, e, f, key) {
    const known = agentOf(l, e.bundle.agent);
    if (e.bundle.session || !known || !recovers(known, key, firstOfBundle(e))) malformed('recovered without the recovery key');
    for (const k of known.keys.keys()) end(known.keys, k, e.index);
    claim(l, e.bundle.agent, f);
  },
  revoke(l, e, f) {
    const known = agentOf(l, f.agent);
    if (!known && !l.partial) malformed('revokes one who was never enrolled');
    if (!known) return;
    if (f.public_key) end(known.keys, hex(f.public_key), e.index);
    else known.revoked = Math.min(known.revoked, e.index);
  },
};

// key: that signed the entry's bundle.
export function learn(l, e, key) {
  if (e.outcome === 0) lessons[e.message.message]?.(l, e, e.message.fields, key);
}
