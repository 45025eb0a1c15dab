// What may be missing of a ledger's payloads: values of keys that were
// superseded, in their space, at or below a line that a compact entry drew; and
// whatever a later erase entry names, or has the broker name.
import { malformed } from './bytes.mjs';

const EFFECT = 64; // slots from here on are the effect's
const one = ['put', 'delete', 'append', 'incr', 'lapse'];
const many = ['txn', 'complete'];

// [{ key, prev, deleted, slot }] of an accepted entry; null: it writes no keys.
function writes(e) {
  if (e.outcome !== 0) return null;
  const { message, fields } = e.message;
  if (one.includes(message)) {
    const slot = e.says.slots ? EFFECT : 0;
    return [{ key: fields.key, prev: e.says.prev ?? 0, deleted: message === 'delete' || message === 'lapse', slot }];
  }
  if (!many.includes(message)) return null;
  return (fields.writes ?? []).map((w, i) => {
    const says = e.says.items?.[i] ?? {};
    return { key: w.key, prev: says.prev ?? 0, deleted: w.slot === undefined, slot: says.slot ?? w.slot };
  });
}

export class Missing {
  open = new Map(); // revision and key -> revision
  lines = new Map(); // space -> line
  erased = new Set(); // entry and slot, not named yet
  orders = new Set(); // erasures that are carried out
  needed = new Map(); // space -> [entry that supersedes, entry that is missing]

  slot(e, slot) {
    const all = writes(e);
    const { reads, sends } = e.message.fields;
    const stays = reads === slot || sends?.some((s) => s.slot === slot) || (e.message.message === 'complete' && slot === 0);
    if (!all || stays) malformed('a payload is missing');
    const gone = all.filter((w) => !w.deleted && (one.includes(e.message.message) || w.slot === slot));
    if (!gone.length) malformed('a payload is missing');
    for (const w of gone) this.open.set(`${e.index} ${w.key}`, e.index);
  }

  // The slots that the entry has erased: an erase of values lists them in its
  // effect; any other is carried out by the broker's entries, until it says so.
  erases({ outcome, index, message: { message, fields }, says }) {
    if (outcome !== 0) return [];
    if (message === 'erase') {
      if (!fields.kind) return says.items;
      this.orders.add(index);
    }
    if (message !== 'erased') return [];
    if (!this.orders.has(fields.revision)) malformed('it erases what nobody asked for');
    if (fields.kind === 1) this.orders.delete(fields.revision);
    return fields.items;
  }

  entry(e) {
    const all = [...e.slots.entries(), ...[...e.effectSlots.entries()].map(([i, s]) => [i + EFFECT, s])];
    for (const [i, s] of all) {
      if (s.missing === 2) this.slot(e, i);
      else if (s.missing === 1) this.erased.add(`${e.index} ${i}`);
      else if (s.missing) malformed('a payload is missing');
    }
    if (e.outcome === 0 && e.message.message === 'compact') {
      const { space = '*', revision } = e.message.fields;
      this.lines.set(space, Math.max(revision, this.lines.get(space) ?? 0));
    }
    for (const i of this.erases(e)) this.erased.delete(`${i.revision} ${i.slot}`);
    for (const w of this.open.size ? (writes(e) ?? []) : []) {
      const was = `${w.prev} ${w.key}`;
      if (!this.open.has(was)) continue;
      const space = e.message.fields.space ?? '*';
      if (e.index > (this.needed.get(space)?.[0] ?? 0)) this.needed.set(space, [e.index, w.prev]);
      this.open.delete(was);
    }
  }

  end() {
    for (const slot of this.erased) malformed(`entry ${slot.split(' ')[0]}: a payload is missing`);
    for (const index of this.open.values()) malformed(`entry ${index}: a payload is missing`);
    for (const [space, [by, index]] of this.needed) {
      const line = Math.max(this.lines.get(space) ?? 0, this.lines.get('*') ?? 0);
      if (by > line) malformed(`entry ${index}: a payload is missing`);
    }
  }
}
