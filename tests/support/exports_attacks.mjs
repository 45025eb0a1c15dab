// Attacks on exports, each with the sentence that it is refused with. They are
// made by the exporter himself, who signs anew what he changed, or by the
// broker's operator, who can make a tree of his own and sign its head: all that
// stops him is that he has not his agents' keys.
import { part } from '../reader/schema.mjs';
import { agentId, tagged } from '../reader/trust.mjs';
import { u32 } from '../reader/bytes.mjs';
import { END, ENTRY, GAP, HEAD, IDENTITY, encode, ended, exportOf, forge, keyOf, noteOf, putTogether, rootOf, sizeOf, takeApart } from './exports.mjs';

const names = { [HEAD]: 'export_head', [ENTRY]: 'evidence', [IDENTITY]: 'evidence', [END]: 'export_end' };
export const VERBS = { session_open: 1, enrol: 3, put: 7, rotate: 29, recover: 31, admit: 33, claim: 34 };

// ctx: ledger, size, by (who exports), broker, keys of others, and text: the
// tree head. bytes: an export of `by` with payloads and gaps.
export function exporterAttacks(ctx, bytes) {
  const { ledger, by } = ctx;
  const size = sizeOf(bytes);
  const all = takeApart(bytes);
  const records = all.slice(0, -1);
  const out = [];
  const put = (what, why, file) => out.push({ what, why, bytes: file });
  const resigned = (what, why, changed, key = by) => put(what, why, ended(changed, ledger.id, key));
  const at = (kind, n = 0) => records.map((r, i) => [r, i]).filter(([r]) => r.kind === kind)[n][1];
  const edited = (i, change) => {
    const f = part(names[all[i].kind], all[i].bytes);
    const changed = { kind: all[i].kind, bytes: encode({ ...f, ...(typeof change === 'function' ? change(f) : change) }) };
    return records.map((r, k) => (k === i ? changed : r));
  };
  const withRecord = (i, r) => [...records.slice(0, i), r, ...records.slice(i)];
  const without = (i) => records.filter((_, k) => k !== i);
  const entry = at(ENTRY), gap = at(GAP), last = at(ENTRY, 1);
  const cut = (b, n) => b.subarray(0, b.length - n);

  put('another magic', /no export/, Buffer.concat([Buffer.from('CHE2'), bytes.subarray(4)]));
  put('nothing', /needs 4 bytes/, Buffer.alloc(0));
  put('no end', /needs 4 bytes/, putTogether(records));
  put('a byte behind the end', /1 bytes behind the end/, Buffer.concat([bytes, Buffer.alloc(1)]));
  put('a record of 64 MiB and a byte', /a record too long/, Buffer.concat([putTogether(records), u32(ENTRY), u32((64 << 20) + 1)]));
  resigned('a record of no kind', /a record of kind 6/, withRecord(1, { kind: 6, bytes: Buffer.alloc(0) }));
  resigned('two heads', /a head in another place/, withRecord(1, records[0]));
  resigned('no head', /a head in another place/, without(0));
  resigned('no entries', /there is no genesis/, records.slice(0, 1));
  resigned('no genesis', /first entry is not the genesis/, without(1));
  resigned('format 2', /format 2/, edited(0, { format: 2 }));
  resigned('a selection of no kind', /selection of kind 7/, edited(0, { kind: 7 }));
  resigned('facts of two selections', /not the facts/, edited(0, { task: 7 }));
  resigned('an empty range', /an empty range/, edited(0, { kind: 3, key: undefined, space: undefined, revision: 5, size: 5 }));
  resigned('a range beyond the tree', /beyond the tree head/, edited(0, { kind: 3, key: undefined, space: undefined, revision: 0, size: size + 1 }));
  resigned('called a range', /entries of the range are missing/, edited(0, { kind: 3, key: undefined, space: undefined, revision: 0, size }));
  resigned('another ledger', /meant for another ledger/, edited(0, { ledger: by.agent }));
  resigned("another ledger's tree head", /another ledger's tree head/,
    edited(0, { text: noteOf(ctx.broker, { ledger: by.agent, size, root: by.agent, epoch: 1 }) }));
  resigned("a stranger's tree head", /another key's note/,
    edited(0, { text: noteOf(ctx.stranger, { ledger: ledger.id, size, root: rootOf(ledger.entries.slice(0, size)), epoch: ledger.epoch }) }));
  resigned('a tree head that is too small', /beyond the tree head|hashes where/,
    edited(0, { text: noteOf(ctx.broker, { ledger: ledger.id, size: 3, root: rootOf(ledger.entries.slice(0, 3)), epoch: ledger.epoch }) }));
  resigned('another root', /do not make the tree head's root/,
    edited(0, { text: noteOf(ctx.broker, { ledger: ledger.id, size, root: by.agent, epoch: ledger.epoch }) }));

  resigned('a gap of nothing', /a gap of nothing/, withRecord(1, { kind: GAP, bytes: Buffer.alloc(0) }));
  resigned('a gap where nothing is missing', /1 hashes where 0 are due/, withRecord(1, { kind: GAP, bytes: Buffer.alloc(32) }));
  resigned('half a hash', /a hash is cut off/, withRecord(gap, { kind: GAP, bytes: cut(records[gap].bytes, 16) }));
  resigned('two gaps', /two gaps in a row/, withRecord(gap, records[gap]));
  resigned('a hash too many', /hashes where/, [...records.slice(0, gap), { kind: GAP, bytes: Buffer.concat([records[gap].bytes, Buffer.alloc(32)]) }, ...records.slice(gap + 1)]);
  resigned('no gap', /0 hashes where/, without(gap));
  resigned('another hash', /do not make the tree head's root/, [...records.slice(0, gap), { kind: GAP, bytes: Buffer.concat([Buffer.alloc(1, records[gap].bytes[0] ^ 1), records[gap].bytes.subarray(1)]) }, ...records.slice(gap + 1)]);
  resigned('an entry twice', /do not ascend/, withRecord(entry, records[entry]));
  resigned('entries exchanged', /do not ascend|hashes where|is not open/, records.map((r, i) => records[i === entry ? last : i === last ? entry : i]));
  resigned('an entry left out, and its gap not', /hashes where|two gaps/, without(entry));

  resigned('a key beside an entry', /a key beside the entry/, edited(entry, { public_key: by.publicKey }));
  resigned('another index', /hashes where|do not ascend/, edited(entry, (f) => ({ revision: f.revision + 1 })));
  resigned('before the ledger', /begins before the ledger/, edited(1, { position: 1 }));
  resigned('another place in its bundle', /position outside|path too|not under/, edited(entry, (f) => ({ position: f.position + 1 })));
  resigned('another time', /do not make the tree head's root/, edited(entry, (f) => ({ time: f.time + 1 })));
  resigned('another outcome', /do not make the tree head's root/, edited(entry, { outcome: 1 }));
  resigned('no outcome', /has outcome 64/, edited(entry, { outcome: 64 }));
  resigned('another effect', /do not make the tree head's root/, edited(entry, { effect: encode({ prev: 1 }) }));
  resigned('another head', /not under its bundle's root/, edited(entry, (f) => ({ head: Buffer.concat([cut(f.head, 1), Buffer.from([f.head.at(-1) ^ 1])]) })));
  resigned('half a hash in a path', /a hash is cut off/, edited(entry, (f) => ({ path: Buffer.concat([f.path, Buffer.alloc(5)]) })));
  resigned('a path too long', /path too long/, edited(entry, (f) => ({ path: Buffer.concat([f.path, Buffer.alloc(32)]) })));
  const header = (change) => (f) => ({ header: encode({ ...part('bundle_header', f.header), ...change }) });
  resigned('a header of another ledger', /meant for another ledger/, edited(entry, header({ ledger: by.agent })));
  resigned('an ask', /not a bundle of kind RECORD/, edited(entry, header({ kind: 2 })));
  resigned('a header of format 2', /not a bundle of kind RECORD/, edited(entry, header({ format: 2 })));
  resigned('a bundle of nothing', /count of a bundle/, edited(entry, header({ count: 0 })));
  resigned('another number', /it does not fit/, edited(entry, (f) => header({ first_seq: part('bundle_header', f.header).first_seq + 1 })(f)));
  resigned('another signature', /it does not fit/, edited(entry, (f) => ({ signature: Buffer.concat([cut(f.signature, 32), Buffer.alloc(32)]) })));
  resigned('R of small order', /small order/, edited(entry, (f) => ({ signature: Buffer.concat([Buffer.alloc(32), f.signature.subarray(32)]) })));
  resigned('an entry as identity', /put as identity/, records.map((r, i) => (i === entry ? { ...r, kind: IDENTITY } : r)));

  resigned('a payload left out without a word', /its payload is missing/, edited(entry, { payload: undefined }));
  resigned('another payload', /hash of its slot/, edited(entry, (f) => ({ payload: Buffer.concat([cut(f.payload, 1), Buffer.from([f.payload.at(-1) ^ 1])]) })));
  resigned('a payload cut', /needs|hash of its slot/, edited(entry, (f) => ({ payload: cut(f.payload, 1) })));
  resigned('a byte behind a payload', /behind the last payload/, edited(entry, (f) => ({ payload: Buffer.concat([f.payload, Buffer.alloc(1)]) })));
  resigned('a payload where there is no slot', /a payload of no slot/, edited(1, { payload: Buffer.alloc(1) }));
  resigned('marks without slots', /marks for other slots/, edited(1, { marks: Buffer.from([3]) }));
  resigned('marks of nothing', /marks for other slots/, edited(1, { marks: Buffer.alloc(0) }));
  resigned('marks that say nothing', /marks for other slots/, edited(entry, { marks: Buffer.from([0]) }));
  resigned('a mark of no kind', /a mark/, edited(entry, { marks: Buffer.from([4]), payload: undefined }));
  resigned('a mark too many', /marks for other slots/, edited(entry, { marks: Buffer.from([3, 3]), payload: undefined }));
  resigned('left out, and there', /a payload of no slot/, edited(entry, { marks: Buffer.from([3]) }));

  const end = part('export_end', all.at(-1).bytes);
  const endsWith = (what, why, change) => put(what, why, putTogether([...records, { kind: END, bytes: encode({ ...end, ...change }) }]));
  endsWith('another size', /other bytes or records/, { size: end.size + 1 });
  endsWith('another count', /other bytes or records/, { count: end.count - 1 });
  endsWith('another digest', /another digest/, { digest: by.agent });
  put('signed by another', /it does not fit/, ended(records, ledger.id, ctx.mallory));
  const as = (what, why, key) => resigned(what, why, edited(0, { agent: key.agent, public_key: key.publicKey }), key);
  as('by a stranger', /not proven to be its exporter's/, ctx.stranger);
  as('with a key that was replaced', /not proven to be its exporter's/, { ...ctx.first, agent: by.agent });
  as("with a stranger's key", /not proven to be its exporter's/, { ...ctx.stranger, agent: by.agent });
  as('by the broker', /not proven to be its exporter's/, ctx.broker);
  return out;
}

// What an operator may try who has everything but his agents' keys.
export function operatorAttacks(ctx) {
  const { ledger, by, size, put: index, session } = ctx;
  const out = [];
  const attack = (what, why, changes, { without = [], indices = [index], by: exporter = by } = {}) => {
    const entries = [...ledger.entries.slice(0, size)];
    for (const [i, e] of Object.entries(changes)) entries[i] = e;
    const its = { ...ledger, entries };
    const text = noteOf(ctx.broker, { ledger: ledger.id, size, root: rootOf(entries), epoch: ledger.epoch });
    out.push({ what, why, bytes: exportOf(its, { indices, facts: { kind: 6 }, by: exporter, text, size, without }) });
  };
  const e = ledger.entries[index], open = ledger.entries[session];
  const slots = Buffer.concat([u32(3), tagged('slot/1', Buffer.alloc(16), Buffer.from('lie'))]);
  const lie = { verb: VERBS.put, space: 'main', key: 'plan', slots };
  const its = { slots: [{ salt: Buffer.alloc(16), value: Buffer.from('lie') }] };
  const changed = (i, change) => ({ [i]: forge(ledger, ledger.entries[i], change) });
  const { mallory, stranger, broker, first } = ctx;

  attack('what nobody signed', /it does not fit/, changed(index, { says: lie, ...its }));
  attack("signed by another agent's key", /it does not fit/, changed(index, { says: lie, ...its, key: mallory }));
  attack("signed by the broker's key", /it does not fit/, changed(index, { says: lie, ...its, key: broker }));
  attack('in the name of another', /another agent's session/, changed(index, { says: lie, ...its, key: mallory, bundle: { agent: mallory.agent } }));
  attack('by the broker, as an agent may', /the broker says put/, changed(index, { says: lie, ...its, key: broker, bundle: { agent: broker.agent, session: 0 } }));
  attack('by the broker, in a session', /not the broker/, changed(index, { says: lie, ...its, key: broker, bundle: { agent: broker.agent } }));
  attack('with a key beside it', /a key outside session 0/, changed(index, { says: lie, ...its, key: mallory, bundle: { public_key: mallory.publicKey } }));
  attack('outside a session', /put in session 0/, changed(index, { says: lie, ...its, key: mallory, bundle: { session: 0, public_key: mallory.publicKey } }));
  attack('in a session of the future', /is not open/, changed(index, { says: lie, ...its, key: mallory, bundle: { session: size - 1 } }));
  attack('with a key that was replaced', /revoked agent or key/, changed(index, { says: lie, ...its, key: first, bundle: { session: ctx.firstSession } }), { indices: [ctx.firstSession, index] });
  attack('in a session that was closed', /is not open/, changed(index, { key: ctx.by, bundle: { session: ctx.closed[0] } }), { indices: [...ctx.closed, index] });
  attack('what the broker alone may say', /field 1/, changed(index, { says: { verb: VERBS.claim, task: 1, lease_ms: 1, agent: by.agent, session: 1, attempt: 1 }, key: by }));
  attack("a session opened with another's key", /not its own/, changed(session, { key: mallory, bundle: { public_key: mallory.publicKey } }));
  attack('a session opened with a key that was replaced', /not its own, or no more/, changed(session, { key: first, bundle: { public_key: first.publicKey } }));
  attack('a session opened without a key', /no key in session 0/, changed(session, { key: mallory, bundle: { public_key: undefined } }));
  attack('a session that was not granted', /is not open/, { [session]: forge(ledger, open, { key: by, outcome: 4 }) }, { indices: [session, index] });
  attack('without the session', /is not open/, {}, { without: [session] });
  attack('without the enrolment', /a session of one who may open none/, {}, { without: [ctx.enrolled] });
  attack('without the rotation', /not its own/, {}, { without: [ctx.rotated] });
  const rotate = ledger.entries[ctx.rotated].says.fields;
  attack('a rotation to a key that did not agree', /it does not fit/,
    changed(ctx.rotated, { says: { verb: VERBS.rotate, ...rotate, public_key: mallory.publicKey, signature: rotate.signature }, key: first }));
  attack('a rotation to a key it has', /a key taken twice/, changed(ctx.rotated, { says: { verb: VERBS.rotate, ...rotate, public_key: first.publicKey }, key: first }));
  const enrol = ledger.entries[ctx.enrolled].says.fields;
  attack('enrolled with another key', /enrols another key/, changed(ctx.enrolled, { says: { verb: VERBS.enrol, ...enrol, public_key: mallory.publicKey }, key: first }));
  attack('enrolled twice', /enrolled twice/, changed(ctx.between, { says: { verb: VERBS.enrol, ...enrol }, key: first, outcome: 0, bundle: { agent: by.agent, session: 0, public_key: first.publicKey } }), { indices: [ctx.between, index] });
  attack("admitted with another's key", /not the hash of its key/,
    changed(1, { says: { verb: VERBS.admit, ...ledger.entries[1].says.fields, agent: by.agent, public_key: mallory.publicKey }, key: broker }), { indices: [1, index] });
  const recovers = (key) => changed(ctx.between, {
    says: { verb: VERBS.recover, public_key: mallory.publicKey, curve_key: mallory.publicKey, signature: Buffer.alloc(64) },
    outcome: 0, key, bundle: { agent: by.agent, session: 0, public_key: key.publicKey },
  });
  attack('recovered without a recovery key', /without the recovery key/, recovers(first), { indices: [ctx.between, index] });
  const all = forge(ledger, ledger.entries[0], { key: stranger, says: { verb: 32, ...ledger.entries[0].says.fields, public_key: stranger.publicKey } });
  attack('another genesis', /not the one of the ledger id/, { 0: all });
  return out;
}

// What is seldom, and right: in a tree that the operator made of what its authors
// did sign.
export function oddities(ctx) {
  const { ledger, by, size, put: index, between, stranger: nobody } = ctx;
  const put = (what, i, change) => {
    const entries = [...ledger.entries.slice(0, size)];
    entries[i] = forge(ledger, entries[i], change);
    const text = noteOf(ctx.broker, { ledger: ledger.id, size, root: rootOf(entries), epoch: ledger.epoch });
    return { what, bytes: exportOf({ ...ledger, entries }, { indices: [i], facts: { kind: 6 }, by, text, size }) };
  };
  const slots = Buffer.concat([u32(3), tagged('slot/1', Buffer.alloc(16), Buffer.from('new'))]);
  const payload = { slots: [{ salt: Buffer.alloc(16), value: Buffer.from('new') }], effectSlots: [], effect: Buffer.alloc(0) };
  const joins = { agent: nobody.agent, session: 0, first_seq: 0, public_key: nobody.publicKey };
  const enrol = { verb: VERBS.enrol, name: 'nobody', public_key: nobody.publicKey, curve_key: nobody.publicKey };
  return [
    put('a verb of a later version, not supported', index, { says: { verb: 255, slots }, key: by, outcome: 7, ...payload }),
    put('an enrolment that was refused', between, { says: enrol, key: nobody, bundle: joins, outcome: 10 }),
  ];
}

// A ledger of the same agents, made by one who has not the broker's key.
export function anotherLedger(ctx) {
  const { ledger, first, stranger: key } = ctx;
  const says = { verb: 32, ...ledger.entries[0].says.fields, public_key: key.publicKey };
  const id = tagged('ledger/1', encode(says));
  const its = { id, epoch: 1 };
  const genesis = forge(its, ledger.entries[0], { says, key, bundle: { agent: agentId(key.publicKey), ledger: id } });
  const self = forge(its, ledger.entries[ctx.enrolled], { key: first, index: 1, bundle: { ledger: id } });
  its.entries = [genesis, self];
  const text = noteOf(key, { ledger: id, size: 2, root: rootOf(its.entries), epoch: 1 });
  return exportOf(its, { indices: [1], facts: { kind: 6 }, by: first, text, size: 2 });
}

export const stranger = () => keyOf(tagged('salt/1', Buffer.from('a stranger')));
