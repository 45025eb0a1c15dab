// Who may say a bundle: "Bundles and who may say them" of
// docs/ledger-format.md. Learns keys and sessions as it goes.
import { malformed } from './bytes.mjs';
import { message, part, refusals } from './schema.mjs';
import { agentId, checkSignature, tagged } from './trust.mjs';

const zeros = Buffer.alloc(32);
const hex = (b) => b.toString('hex');

// Decodes the entries of a bundle. What the broker refused as UNSUPPORTED it
// may well not know.
function read(b, kinds) {
  for (const e of b.entries) {
    if (refusals.get(e.outcome)?.kind !== 'OUTCOME') malformed(`entry ${e.index} has outcome ${e.outcome}`);
    try {
      e.message = message(e.head, kinds);
    } catch (error) {
      if (error.code !== 'UNSUPPORTED' || refusals.get(e.outcome).name !== 'UNSUPPORTED') throw error;
      e.message = { message: 'unsupported', fields: {} };
    }
    e.says = e.effect.length ? part('effect', e.effect) : {};
  }
}

function genesis(l, b) {
  const e = b.entries[0];
  if (e.message.message !== 'genesis') malformed('entry 0 is no genesis');
  if (!tagged('ledger/1', e.head).equals(l.id)) malformed('the genesis is not the one of the ledger id');
  l.brokerKey = e.message.fields.public_key;
  if (l.pinned && !l.pinned.equals(l.brokerKey)) malformed("not the pinned broker's ledger");
  l.broker = agentId(l.brokerKey);
  l.brokerNext = b.first_seq;
  l.brokerPrev = zeros;
}

function byBroker(l, b) {
  read(b, ['broker', 'operation']);
  for (const { message: m } of b.entries) {
    if (m.kind !== 'broker' && m.message !== 'invite' && m.message !== 'compact') malformed(`the broker says ${m.message}`);
  }
  if (!l.broker) genesis(l, b);
  if (!b.agent.equals(l.broker) || b.session !== 0) malformed('not the broker');
  if (b.first_seq !== l.brokerNext || !b.prev_hash.equals(l.brokerPrev)) malformed("a gap in the broker's bundles");
  l.brokerNext = b.first_seq + b.count;
  l.brokerPrev = b.hash;
  for (const e of b.entries) learnFromBroker(l, e);
  return l.brokerKey;
}

function admit(l, agent, key) {
  if (!agentId(key).equals(agent)) malformed('an agent whose id is not the hash of its key');
  l.agents.set(hex(agent), { keys: new Map([[hex(key), true]]), revoked: false });
}

function learnFromBroker(l, e) {
  if (e.outcome !== 0) return;
  const f = e.message.fields;
  if (e.message.message === 'admit') admit(l, f.agent, f.public_key);
  const ends = e.message.message === 'session_end' || e.message.message === 'equivocate';
  if (!ends) return;
  if (!l.sessions.has(f.session)) malformed(`session ${f.session} was never opened`);
  l.sessions.get(f.session).over = true;
}

// A new key says itself whose it is.
function claimed(l, agent, known, f) {
  if (f.recovery_key) known.recovery = f.recovery_key;
  if (!f.public_key) return;
  if (known.keys.has(hex(f.public_key))) malformed('a key taken twice');
  checkSignature('key', f.public_key, l.id, Buffer.concat([agent, f.public_key, f.curve_key]), f.signature);
  known.keys.set(hex(f.public_key), true);
}

function joining(l, b) {
  read(b, ['operation']);
  if (b.first_seq !== 0 || !b.prev_hash.equals(zeros)) malformed('session 0 has no numbers');
  const verbs = b.entries.map((e) => e.message.message).join();
  if (!['enrol', 'session_open', 'enrol,session_open', 'recover'].includes(verbs)) malformed(`${verbs} in session 0`);
  const known = l.agents.get(hex(b.agent));
  const recovers = known?.recovery?.equals(b.public_key);
  if (known ? !known.keys.get(hex(b.public_key)) && !recovers : !agentId(b.public_key).equals(b.agent)) malformed("a sender with a key that is not its own");
  if (known?.revoked) malformed('a revoked agent');
  for (const e of b.entries) {
    if (e.outcome !== 0) continue;
    if (e.message.message === 'enrol') {
      if (!e.message.fields.public_key.equals(b.public_key)) malformed('enrols another key');
      admit(l, b.agent, b.public_key);
    } else if (e.message.message === 'recover') {
      if (!recovers) malformed('recovered without the recovery key');
      for (const key of known.keys.keys()) known.keys.set(key, false);
      claimed(l, b.agent, known, e.message.fields);
    } else {
      if (!l.agents.has(hex(b.agent))) malformed('a session of an unknown agent');
      l.sessions.set(e.index, { agent: b.agent, key: b.public_key, next: 1, prev: b.hash, over: false });
    }
  }
  return b.public_key;
}

function inSession(l, b) {
  const s = l.sessions.get(b.session);
  if (!s || s.over) malformed(`session ${b.session} is not open`);
  if (b.public_key) malformed('a key outside session 0');
  if (!s.agent.equals(b.agent)) malformed("another agent's session");
  const known = l.agents.get(hex(b.agent));
  if (known.revoked || !known.keys.get(hex(s.key))) malformed('a revoked agent or key');
  if (b.first_seq !== s.next || !b.prev_hash.equals(s.prev)) malformed(`a gap in session ${b.session}`);
  read(b, ['operation']);
  s.next += b.count;
  s.prev = b.hash;
  for (const e of b.entries) {
    if (e.outcome !== 0) continue;
    if (e.message.message === 'session_close') s.over = true;
    const f = e.message.fields;
    if (e.message.message === 'revoke' && f.public_key) l.agents.get(hex(f.agent)).keys.set(hex(f.public_key), false);
    else if (e.message.message === 'revoke') l.agents.get(hex(f.agent)).revoked = true;
    if (e.message.message === 'rotate') {
      if (f.public_key && f.kind !== 2) known.keys.set(hex(s.key), false);
      claimed(l, b.agent, known, f);
    }
  }
  return s.key;
}

// The key that must have signed the bundle, or a refusal.
export function checkBundleIsAllowed(l, b) {
  if (b.format !== 1 || b.kind !== 1) malformed('not a bundle of kind RECORD, format 1');
  if (!b.ledger.equals(l.id)) malformed('meant for another ledger');
  if (!l.broker || b.agent.equals(l.broker)) return byBroker(l, b);
  return b.session === 0 ? joining(l, b) : inSession(l, b);
}
