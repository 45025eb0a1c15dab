// Who may say a bundle: "Bundles and who may say them" of
// docs/ledger-format.md. Learns keys and sessions as it goes.
import { malformed } from './bytes.mjs';
import { agentOf, learn, recovers, speaks } from './keys.mjs';
import { message, part, refusals } from './schema.mjs';
import { agentId, tagged } from './trust.mjs';

const zeros = Buffer.alloc(32);

// Decodes an entry. What the broker refused as UNSUPPORTED it may well not know.
export function read(e, kinds) {
  if (refusals.get(e.outcome)?.kind !== 'OUTCOME') malformed(`entry ${e.index} has outcome ${e.outcome}`);
  try {
    e.message = message(e.head, kinds);
  } catch (error) {
    if (error.code !== 'UNSUPPORTED' || refusals.get(e.outcome).name !== 'UNSUPPORTED') throw error;
    e.message = { message: 'unsupported', fields: {} };
  }
  e.says = e.effect.length ? part('effect', e.effect) : {};
}

export function genesis(l, e) {
  if (e.message.message !== 'genesis' || e.outcome !== 0) malformed('entry 0 is no genesis');
  if (!tagged('ledger/1', e.head).equals(l.id)) malformed('the genesis is not the one of the ledger id');
  l.brokerKey = e.message.fields.public_key;
  if (l.pinned && !l.pinned.equals(l.brokerKey)) malformed("not the pinned broker's ledger");
  l.broker = agentId(l.brokerKey);
}

export const brokerSays = ({ kind, message: verb }) => kind === 'broker' || verb === 'invite' || verb === 'compact';

function byBroker(l, b) {
  for (const e of b.entries) {
    read(e, ['broker', 'operation']);
    if (!brokerSays(e.message)) malformed(`the broker says ${e.message.message}`);
  }
  if (!l.broker) {
    genesis(l, b.entries[0]);
    l.brokerNext = b.first_seq;
    l.brokerPrev = zeros;
  }
  if (!b.agent.equals(l.broker) || b.session !== 0) malformed('not the broker');
  if (b.first_seq !== l.brokerNext || !b.prev_hash.equals(l.brokerPrev)) malformed("a gap in the broker's bundles");
  l.brokerNext = b.first_seq + b.count;
  l.brokerPrev = b.hash;
  return l.brokerKey;
}

// The key that a bundle in session 0 names, if it is its sender's: one that is
// valid, the recovery key, or the one that makes an unknown agent's id.
export function nameOfJoining(l, b, first) {
  const known = agentOf(l, b.agent);
  if (!b.public_key) malformed('no key in session 0');
  const own = known
    ? speaks(known, b.public_key, first) || recovers(known, b.public_key, first)
    : agentId(b.public_key).equals(b.agent);
  if (!own) malformed('a sender with a key that is not its own, or no more');
  return b.public_key;
}

function joining(l, b) {
  for (const e of b.entries) read(e, ['operation']);
  if (b.first_seq !== 0 || !b.prev_hash.equals(zeros)) malformed('session 0 has no numbers');
  const verbs = b.entries.map((e) => e.message.message).join();
  if (!['enrol', 'session_open', 'enrol,session_open', 'recover'].includes(verbs)) malformed(`${verbs} in session 0`);
  return nameOfJoining(l, b, b.entries[0].index);
}

// The session of a bundle that may be said in it.
export function sessionOf(l, b, first) {
  const s = l.sessions.get(b.session);
  if (!s || s.over < first) malformed(`session ${b.session} is not open`);
  if (b.public_key) malformed('a key outside session 0');
  if (!s.agent.equals(b.agent)) malformed("another agent's session");
  if (!speaks(agentOf(l, b.agent), s.key, first)) malformed('a revoked agent or key');
  return s;
}

function inSession(l, b) {
  const s = sessionOf(l, b, b.entries[0].index);
  if (b.first_seq !== s.next || !b.prev_hash.equals(s.prev)) malformed(`a gap in session ${b.session}`);
  for (const e of b.entries) read(e, ['operation']);
  s.next += b.count;
  s.prev = b.hash;
  return s.key;
}

// The key that must have signed the bundle, or a refusal.
export function checkBundleIsAllowed(l, b) {
  if (b.format !== 1 || b.kind !== 1) malformed('not a bundle of kind RECORD, format 1');
  if (!b.ledger.equals(l.id)) malformed('meant for another ledger');
  const by = !l.broker || b.agent.equals(l.broker) ? byBroker : b.session === 0 ? joining : inSession;
  const key = by(l, b);
  for (const e of b.entries) learn(l, e, key);
  return key;
}
